// A module's world without a host: desired properties are set by the test, everything it says is kept.

import type { JsonObject, JsonValue } from '../../src/model/json.ts';
import { mergePatch } from '../../src/model/twin.ts';
import type { IncomingMessage, MethodAnswer, ModuleContext, OutgoingMessage } from '../../src/modules/contract.ts';
import type { Clock } from '../../src/platform/clock.ts';
import { systemNetwork } from '../../src/platform/net.ts';
import { systemSerial } from '../../src/platform/serial.ts';
import { keptLog } from './quiet-log.ts';
import { seededEntropy } from './sim-entropy.ts';

export interface SentMessage extends OutgoingMessage {
  readonly output: string;
  readonly json: JsonObject;
}

export class TestContext implements ModuleContext {
  readonly identity = { deviceId: 'gw', moduleId: 'm' };
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly entropy = seededEntropy(7);
  readonly network = systemNetwork();
  readonly serial = systemSerial();
  readonly clock: Clock;
  readonly log: ModuleContext['log'];
  readonly lines: readonly string[];
  readonly sent: SentMessage[] = [];
  reported: JsonObject = {};
  isReady = false;
  #desired: JsonObject;
  readonly #onDesired: ((desired: JsonObject) => void)[] = [];
  readonly #inputs = new Map<string, (message: IncomingMessage) => void | Promise<void>>();
  readonly #methods = new Map<string, (payload: JsonValue) => MethodAnswer | Promise<MethodAnswer>>();
  readonly #watchers = new Set<() => void>();

  constructor(clock: Clock, desired: JsonObject = {}, environment: Readonly<Record<string, string | undefined>> = {}) {
    const { log, lines } = keptLog(clock);
    this.clock = clock;
    this.log = log;
    this.lines = lines;
    this.environment = environment;
    this.#desired = desired;
  }

  desired(): JsonObject {
    return this.#desired;
  }

  setDesired(desired: JsonObject): void {
    this.#desired = desired;
    for (const listener of this.#onDesired) listener(desired);
  }

  onDesired(listener: (desired: JsonObject) => void): void {
    this.#onDesired.push(listener);
  }

  reportProperties(patch: JsonObject): void {
    this.reported = mergePatch(this.reported, patch);
    this.#notify();
  }

  reportConfig(problems: readonly { readonly path: string; readonly message: string }[]): void {
    this.reportProperties({
      configStatus: { code: problems.length === 0 ? 200 : 400, errors: problems.map((problem) => ({ ...problem })) },
    });
  }

  send(output: string, message: OutgoingMessage): Promise<'acknowledged'> {
    this.sent.push({ ...message, output, json: JSON.parse(message.body.toString()) as JsonObject });
    this.#notify();
    return Promise.resolve('acknowledged');
  }

  onInput(input: string, handler: (message: IncomingMessage) => void | Promise<void>): void {
    this.#inputs.set(input, handler);
  }

  onMethod(method: string, handler: (payload: JsonValue) => MethodAnswer | Promise<MethodAnswer>): void {
    this.#methods.set(method, handler);
  }

  ready(): void {
    this.isReady = true;
  }

  async input(name: string, body: JsonValue, properties: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.#inputs.get(name)?.({ body: Buffer.from(JSON.stringify(body)), properties, system: {} });
  }

  async method(name: string, payload: JsonValue): Promise<MethodAnswer> {
    const handler = this.#methods.get(name);
    if (handler === undefined) throw new Error(`no method ${name}`);
    return handler(payload);
  }

  /** Resolves with the first message sent from now on (or `from`) that fits. The test's time-out is the limit. */
  async nextSent(fits: (message: SentMessage) => boolean, from = this.sent.length): Promise<SentMessage> {
    return this.until(() => this.sent.slice(from).find(fits));
  }

  /** Resolves when `look` finds something; it is asked after everything the module says. */
  async until<Found>(look: () => Found | undefined | false): Promise<Found> {
    for (;;) {
      const found = look();
      if (found !== undefined && found !== false) return found;
      await new Promise<void>((resolve) => {
        this.#watchers.add(resolve);
      });
    }
  }

  #notify(): void {
    for (const watcher of this.#watchers) watcher();
    this.#watchers.clear();
  }
}
