// What is asked for now: the hub's desired properties, or the operator's own deployment until the hub has newer ones.
//
// A document that cannot be read asks for nothing: it is only reported. Each version is read, and told to the log, once.

import type { JsonObject } from '../model/json.ts';
import type { Log } from '../platform/log.ts';
import { deploymentStatus } from './errors.ts';
import type { OrderBook } from './order-book.ts';
import { isWanted } from './plan.ts';
import type { DesiredStatus } from './report.ts';
import type { RolloutRecord, Source } from './rollout-record.ts';
import { describe } from './rollout-view.ts';

export class Wishes {
  readonly #book: OrderBook;
  readonly #log: Log;
  #seen: { readonly properties: JsonObject; readonly version: number } | undefined;
  #target: Source | undefined;
  #unreadable: DesiredStatus | undefined;

  constructor(book: OrderBook, log: Log) {
    this.#book = book;
    this.#log = log;
  }

  /** What is asked for and can be read. */
  get target(): Source | undefined {
    return this.#target;
  }

  /** The same, when it is neither in force nor refused. */
  wanted(record: RolloutRecord): Source | undefined {
    return this.#target !== undefined && isWanted(this.#target, record) ? this.#target : undefined;
  }

  /** What is wrong with what is asked for; it changes nothing. */
  get unreadable(): DesiredStatus | undefined {
    return this.#unreadable;
  }

  /** The operator's deployment stands over one version of the hub's; another version ends it. */
  isOver(local: Source | undefined, version: number): boolean {
    return local !== undefined && local.version !== version;
  }

  read(
    { properties, version }: { readonly properties: JsonObject; readonly version: number },
    local: Source | undefined,
  ): void {
    if (local !== undefined && local.version === version) {
      this.#seen = undefined;
      this.#target = local;
      this.#unreadable = undefined;
      return;
    }
    if (version === 0) {
      this.#target = undefined;
      return;
    }
    if (this.#seen?.properties === properties && this.#seen.version === version) return;
    this.#seen = { properties, version };
    this.#take({ origin: 'hub', version, properties });
  }

  #take(source: Source): void {
    const { version } = source;
    const parsed = this.#book.read(source);
    if (parsed.ok) {
      this.#target = source;
      this.#unreadable = undefined;
      this.#log.info('deployment taken', { version, modules: parsed.deployment.modules.length });
      if (parsed.deployment.integrity !== undefined)
        this.#log.warn('the deployment is signed (integrity); the signature is not verified', { version });
      return;
    }
    this.#target = undefined;
    this.#unreadable = { version, code: parsed.status, description: describe(parsed.problems) };
    const facts = { version, code: parsed.status, reason: this.#unreadable.description };
    if (parsed.status === deploymentStatus.empty) this.#log.info('no deployment yet', facts);
    else this.#log.warn('the deployment cannot be read; the last good one stays in force', facts);
  }
}
