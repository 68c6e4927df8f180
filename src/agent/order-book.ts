// What a source of wishes means: its deployment, parsed once, its orders, and which of them cannot be given yet.
//
// Pure but for the memory of what was parsed. A source that this version cannot read means nothing.

import type { JsonObject } from '../model/json.ts';
import { type Deployment, type DeploymentContext, type ParsedDeployment, parseDeployment } from './deployment.ts';
import type { LaunchOrder } from './launch-order.ts';
import { type InstalledFiles, launchOrders, type ModuleSurroundings, type OrderFacts } from './orders.ts';
import { type PlannedChange, plannedChanges } from './plan.ts';
import type { ModuleKind } from './ports.ts';
import type { Source } from './rollout-record.ts';

export class OrderBook {
  readonly #context: DeploymentContext;
  readonly #facts: OrderFacts;
  readonly #parsed = new WeakMap<JsonObject, ParsedDeployment>();

  constructor(context: DeploymentContext, facts: OrderFacts) {
    this.#context = context;
    this.#facts = facts;
  }

  read({ properties }: Source): ParsedDeployment {
    const known = this.#parsed.get(properties);
    if (known !== undefined) return known;
    const parsed = parseDeployment(properties, this.#context);
    this.#parsed.set(properties, parsed);
    return parsed;
  }

  deployment(source: Source | undefined): Deployment | undefined {
    const parsed = source === undefined ? undefined : this.read(source);
    return parsed?.ok === true ? parsed.deployment : undefined;
  }

  names(source: Source | undefined): readonly string[] {
    return this.deployment(source)?.modules.map(({ name }) => name) ?? [];
  }

  kinds(source: Source | undefined): ReadonlyMap<string, ModuleKind> {
    const modules = this.deployment(source)?.modules ?? [];
    return new Map(
      modules.map(({ name, program }) => [
        name,
        program.kind === 'container' ? ('container' as const) : ('process' as const),
      ]),
    );
  }

  hasModules(source: Source | undefined): boolean {
    return this.names(source).length > 0;
  }

  /** Names of the modules whose files are not known to be on the device. */
  missing(source: Source | undefined): readonly string[] {
    return (this.deployment(source)?.modules ?? []).flatMap(({ name, program }) =>
      program.kind === 'executable' && program.source !== undefined && source?.files?.[name] === undefined
        ? [name]
        : [],
    );
  }

  /** Of everything whose files are there. */
  orders(source: Source | undefined, surroundings: ReadonlyMap<string, ModuleSurroundings>): readonly LaunchOrder[] {
    const deployment = this.deployment(source);
    if (deployment === undefined) return [];
    return launchOrders({
      deployment,
      facts: this.#facts,
      surroundings,
      files: new Map(Object.entries(source?.files ?? {})),
      heldBack: new Set(this.missing(source)),
    });
  }

  /** What becomes of each module on the way, wherever the files of either will be. */
  changes(before: Source | undefined, after: Source): readonly PlannedChange[] {
    return plannedChanges(this.#neutralOrders(before), this.#neutralOrders(after));
  }

  #neutralOrders(source: Source | undefined): readonly LaunchOrder[] {
    const deployment = this.deployment(source);
    if (deployment === undefined) return [];
    const files = new Map(
      deployment.modules.flatMap(({ name, program }): [string, InstalledFiles][] =>
        program.kind === 'executable' && program.source !== undefined
          ? [[name, { directory: program.source.sha256 }]]
          : [],
      ),
    );
    return launchOrders({ deployment, facts: this.#facts, surroundings: new Map(), files, heldBack: new Set() });
  }
}
