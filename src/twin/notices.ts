// What the gateway tells its routes by itself: a twin changed, an identity came or went, a client connected or left.
//
//   reported properties   FROM /twinChangeNotifications      body: the patch, as IoT Edge sends it
//   desired properties    FROM /desiredChangeNotifications   body: the patch
//   identities            FROM /deviceLifecycle              body: the twin; opType create… or delete…Identity
//   connections           FROM /deviceConnectionState        body: {"sequenceNumber":"000…1f"}; opType deviceConnected …
//
// Owns the shape of these messages: IoT Hub's application properties, and the system properties by which IoT Edge
// names the one whose twin it was (`rpSenderDeviceId`, `rpSenderModuleId`), since the sender is the gateway's `$edgeHub`.
// A message is made only when some route asks for its kind. What the runtime's own modules do is not told.
//
// A notice never fails what it tells of: one that cannot be stored is counted and logged.

import { edgeAgentId, edgeHubId, type Identity } from '../model/address.ts';
import { errorCode, errorMessage } from '../model/errors.ts';
import type { JsonObject } from '../model/json.ts';
import type { Message, MessageKind } from '../model/message.ts';
import type { Twin } from '../model/twin.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';

/** Where the messages go; the router meets it. */
export interface NoticeBoard {
  wants(kind: Exclude<MessageKind, 'telemetry'>): boolean;
  accept(message: Message): Promise<void>;
}

export interface NoticesPorts {
  readonly board: NoticeBoard;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

export interface NoticesOptions {
  readonly deviceId: string;
  readonly hubHostname: string;
}

interface Notice {
  readonly kind: Exclude<MessageKind, 'telemetry'>;
  readonly schema: string;
  readonly opType: string;
  readonly owner: Identity;
  readonly body: JsonObject;
}

const sequenceDigits = 32;
const hexadecimal = 16;

export class Notices {
  readonly #ports: NoticesPorts;
  readonly #options: NoticesOptions;
  #sequence: number;

  constructor(ports: NoticesPorts, options: NoticesOptions) {
    this.#ports = ports;
    this.#options = options;
    // Grows over restarts, as far as the clock is right.
    this.#sequence = ports.clock.wallMs();
  }

  /** Resolves when the notice is stored, or at once when nobody wants it. Never rejects. */
  reported(owner: Identity, patch: JsonObject): Promise<void> {
    return this.#tell('twinChange', () => ({ schema: twinSchema, opType: 'updateTwin', owner, body: patch }));
  }

  desired(owner: Identity, patch: JsonObject, version: number): Promise<void> {
    const body = { ...patch, $version: version };
    return this.#tell('desiredChange', () => ({ schema: twinSchema, opType: 'updateTwin', owner, body }));
  }

  created(owner: Identity, twin: Twin): Promise<void> {
    return this.#lifecycle('create', owner, twin);
  }

  deleted(owner: Identity, twin: Twin): Promise<void> {
    return this.#lifecycle('delete', owner, twin);
  }

  connected(owner: Identity): Promise<void> {
    return this.#connection('deviceConnected', owner);
  }

  disconnected(owner: Identity): Promise<void> {
    return this.#connection('deviceDisconnected', owner);
  }

  #lifecycle(verb: 'create' | 'delete', owner: Identity, { desired, reported }: Twin): Promise<void> {
    const what = owner.moduleId === undefined ? 'Device' : 'Module';
    return this.#tell('deviceLifecycle', () => ({
      schema: `${what.toLowerCase()}LifecycleNotification`,
      opType: `${verb}${what}Identity`,
      owner,
      body: {
        ...names(owner),
        properties: {
          desired: { ...desired.properties, $version: desired.version },
          reported: { ...reported.properties, $version: reported.version },
        },
      },
    }));
  }

  #connection(opType: string, owner: Identity): Promise<void> {
    return this.#tell('deviceConnectionState', () => {
      this.#sequence += 1;
      const sequenceNumber = this.#sequence.toString(hexadecimal).toUpperCase().padStart(sequenceDigits, '0');
      return { schema: 'deviceConnectionStateNotification', opType, owner, body: { sequenceNumber } };
    });
  }

  async #tell(kind: Notice['kind'], make: () => Omit<Notice, 'kind'>): Promise<void> {
    const { board, log, metrics } = this.#ports;
    if (!board.wants(kind)) return;
    const { owner, ...notice } = make();
    if (owner.deviceId === this.#options.deviceId && (owner.moduleId === edgeAgentId || owner.moduleId === edgeHubId))
      return;
    try {
      await board.accept(this.#message({ kind, owner, ...notice }));
    } catch (error) {
      metrics.counter('weir_notices_lost', { kind }).add();
      log.warn('a notification is lost', { kind, code: errorCode(error), reason: errorMessage(error) });
    }
  }

  #message({ kind, schema, opType, owner, body }: Notice): Message {
    const { deviceId, hubHostname } = this.#options;
    const nowMs = this.#ports.clock.wallMs();
    return {
      kind,
      sender: { deviceId, moduleId: edgeHubId },
      system: {
        contentType: 'application/json',
        contentEncoding: 'utf-8',
        messageSchema: schema,
        messageType: schema,
        rpSenderDeviceId: owner.deviceId,
        ...(owner.moduleId === undefined ? {} : { rpSenderModuleId: owner.moduleId }),
      },
      properties: {
        hubName: hubHostname.split('.')[0] ?? '',
        ...names(owner),
        operationTimestamp: new Date(nowMs).toISOString(),
        'iothub-message-schema': schema,
        opType,
      },
      body: Buffer.from(JSON.stringify(body)),
      enqueuedMs: nowMs,
    };
  }
}

const twinSchema = 'twinChangeNotification';

function names({ deviceId, moduleId }: Identity): { readonly [name: string]: string } {
  return moduleId === undefined ? { deviceId } : { deviceId, moduleId };
}
