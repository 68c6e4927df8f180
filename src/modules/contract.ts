// What a built-in module is: a name and a start function that is given everything it may use.
//
// Owns the words between the host (host.ts: connection, twin, outbox) and a module (modbus, the simulated
// sensor). A module imports this file and the ground, nothing else: it never sees MQTT, tokens or sockets of the
// runtime. The same shape could be offered to modules of third parties.
//
// Order of events: the host connects, reads the twin, then calls start() once; from then on the module lives
// through every outage of the broker. close() ends its activity; what it has sent before is drained afterwards.

import type { JsonObject, JsonValue } from '../model/json.ts';
import type { Clock } from '../platform/clock.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Log } from '../platform/log.ts';
import type { Network } from '../platform/net.ts';
import type { SerialPorts } from '../platform/serial.ts';

export interface ModuleIdentity {
  readonly deviceId: string;
  readonly moduleId: string;
}

export interface OutgoingMessage {
  readonly body: Uint8Array | string;
  /** Application properties. The host adds `batchId` (of this process) and `sequenceNumber` (1, 2, 3 …). */
  readonly properties?: Readonly<Record<string, string>>;
  readonly contentType?: string;
  readonly contentEncoding?: string;
}

export interface IncomingMessage {
  readonly body: Buffer;
  readonly properties: Readonly<Record<string, string>>;
  readonly system: Readonly<Record<string, string>>;
}

export interface MethodAnswer {
  readonly status: number;
  readonly payload: JsonValue;
}

/** One mistake in a desired section: where (`/devices/pump-1/tags/speed/at`), what, and what would be right. */
export interface ConfigProblem {
  readonly path: string;
  readonly message: string;
}

export interface ModuleContext {
  readonly identity: ModuleIdentity;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly network: Network;
  readonly serial: SerialPorts;
  /** Desired properties without `$version` and `$metadata`. Known before start() is called. */
  desired(): JsonObject;
  /** Called with the whole section after every change. */
  onDesired(listener: (desired: JsonObject) => void): void;
  /** A merge patch of the reported properties; patches are coalesced and repeated until the hub has them. */
  reportProperties(patch: JsonObject): void;
  /** Tells the operator, in the reported property `configStatus`, whether the desired section is in force. */
  reportConfig(problems: readonly ConfigProblem[]): void;
  /**
   * Puts a message at the end of the outbox. Resolves with `acknowledged` when the broker has it for good, with
   * `dropped` when the full outbox gave it up or the process ended first. Never rejects.
   */
  send(output: string, message: OutgoingMessage): Promise<'acknowledged' | 'dropped'>;
  /** One handler an input. The message is acknowledged when the handler is done, also when it failed (it is logged). */
  onInput(input: string, handler: (message: IncomingMessage) => void | Promise<void>): void;
  /** A ModuleRequestError becomes an answer with its status, any other failure 500. */
  onMethod(method: string, handler: (payload: JsonValue) => MethodAnswer | Promise<MethodAnswer>): void;
  /** The module does its work now. */
  ready(): void;
}

export interface RunningModule {
  /** Ends all activity; no send() afterwards. Idempotent. */
  close(): Promise<void>;
}

export interface ModuleDefinition {
  /** As in `weir module run NAME`. */
  readonly name: string;
  /** One line for lists. */
  readonly summary: string;
  start(context: ModuleContext): Promise<RunningModule>;
}

export function defineModule(definition: ModuleDefinition): ModuleDefinition {
  return definition;
}
