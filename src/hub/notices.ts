// What the hub tells the readers of its log besides telemetry, where it was started with --events: twins that changed,
// identities that came and went, devices that connected and left. Azure's shapes.
//
// A change of a twin or an identity and its notice are one transaction: neither is there without the other. Readers
// are woken when that is committed. Where a kind is not asked for nothing is made.

import type { Identity } from '../model/address.ts';
import type { JsonObject } from '../model/json.ts';
import type { Message } from '../model/message.ts';
import type { Clock } from '../platform/clock.ts';
import type { HubDatabase } from './database.ts';
import type { EventLog } from './event-log.ts';

export type NoticeKind = 'twin-changes' | 'lifecycle' | 'connections';

export interface NoticesOptions {
  readonly hubName: string;
  readonly kinds: readonly NoticeKind[];
}

export interface Notice {
  readonly kind: NoticeKind;
  readonly identity: Identity;
  /** `updateTwin`, `createDeviceIdentity`, `deviceConnected` … */
  readonly opType: string;
  readonly body: JsonObject;
}

const sourceOf: Readonly<Record<NoticeKind, string>> = {
  'twin-changes': 'twinChangeEvents',
  lifecycle: 'deviceLifecycleEvents',
  connections: 'deviceConnectionStateEvents',
};
const sequenceDigits = 32;
const hexadecimal = 16;

export class Notices {
  readonly #database: HubDatabase;
  readonly #eventLog: EventLog;
  readonly #clock: Clock;
  readonly #hubName: string;
  readonly #kinds: ReadonlySet<NoticeKind>;
  #sequence: number;

  constructor(
    ports: { readonly database: HubDatabase; readonly eventLog: EventLog; readonly clock: Clock },
    options: NoticesOptions,
  ) {
    this.#database = ports.database;
    this.#eventLog = ports.eventLog;
    this.#clock = ports.clock;
    this.#hubName = options.hubName;
    this.#kinds = new Set(options.kinds);
    this.#sequence = ports.clock.wallMs();
  }

  wants(kind: NoticeKind): boolean {
    return this.#kinds.has(kind);
  }

  /** Writes what `make` says, when its kind is asked for; inside the caller's transaction, when there is one. */
  tell(kind: NoticeKind, make: () => Omit<Notice, 'kind'>): void {
    if (!this.wants(kind)) return;
    const message = this.#message({ kind, ...make() });
    this.#database.transaction(() => this.#eventLog.append([message], { repeated: 0 }));
    this.#clock.soon(() => this.#eventLog.committed());
  }

  connection(opType: 'deviceConnected' | 'deviceDisconnected', identity: Identity): void {
    this.tell('connections', () => {
      this.#sequence += 1;
      const sequenceNumber = this.#sequence.toString(hexadecimal).toUpperCase().padStart(sequenceDigits, '0');
      return { identity, opType, body: { sequenceNumber } };
    });
  }

  #message({ kind, identity, opType, body }: Notice): Message {
    const { deviceId, moduleId } = identity;
    const nowMs = this.#clock.wallMs();
    return {
      sender: identity,
      system: { contentType: 'application/json', contentEncoding: 'utf-8', 'iothub-message-source': sourceOf[kind] },
      properties: {
        hubName: this.#hubName,
        deviceId,
        ...(moduleId === undefined ? {} : { moduleId }),
        operationTimestamp: new Date(nowMs).toISOString(),
        'iothub-message-schema': schemaOf(kind, identity),
        opType,
      },
      body: Buffer.from(JSON.stringify(body)),
      enqueuedMs: nowMs,
    };
  }
}

function schemaOf(kind: NoticeKind, { moduleId }: Identity): string {
  if (kind === 'twin-changes') return 'twinChangeNotification';
  if (kind === 'connections') return 'deviceConnectionStateNotification';
  return moduleId === undefined ? 'deviceLifecycleNotification' : 'moduleLifecycleNotification';
}
