// Queue files: what a gateway without a link sent by hand (protocol/queue-file/segment.ts).
//
//   file ─► header ─► device in the registry ─► its key opens the body ─► one transaction: positions + event log ─► receipt
//
// What is in the log afterwards is what would be there had the link carried it: senders, properties and bodies as
// they were, the gateway's time as `creationTime`, and every message once, whichever way it came first.
//
// Invariants
//   A receipt is made after the commit, and says no more than what is in the log.
//   A file is taken only when nothing is missing before it: its messages would move the stream's position over those
//   of the missing file, and the hub would take those for repetitions when they come.
//   A file that cannot be taken changes nothing.
//
// Synchronous from the first check to the commit, so that ingest sees the position before or after it.

import { edgeHubId } from '../model/address.ts';
import { errorMessage } from '../model/errors.ts';
import { type Message, takenOver } from '../model/message.ts';
import type { Clock } from '../platform/clock.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Log } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';
import {
  formatReceipt,
  readSegmentHeader,
  readSegmentMessages,
  type SegmentFacts,
  type SegmentRefusal,
  saltBytes,
  segmentBody,
} from '../protocol/queue-file/index.ts';
import type { HubDatabase } from './database.ts';
import { logWriteFailed } from './errors.ts';
import type { EventLog } from './event-log.ts';
import type { FileSeal } from './ports.ts';
import { Positions } from './positions.ts';
import { fileMissing, fileOfStranger, fileRefused, fileWrongKey } from './queue-import-errors.ts';
import type { Registry } from './registry.ts';

export interface QueueImportPorts {
  readonly database: HubDatabase;
  readonly registry: Registry;
  readonly eventLog: EventLog;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly log: Log;
  readonly metrics: Metrics;
  /** A device's key, given as base64, in hands that use it and do not tell it. */
  readonly sealOf: (keyBase64: string) => FileSeal;
}

export interface ImportedFile {
  readonly device: string;
  readonly queue: string;
  readonly stream: string;
  readonly after: number;
  readonly last: number;
  readonly messages: number;
  /** Of those, the ones that are new in the log, and those that were there. */
  readonly logged: number;
  readonly repeated: number;
  /** To be laid beside the file. */
  readonly receipt: string;
}

export class QueueImport {
  readonly #ports: QueueImportPorts;
  readonly #positions: Positions;

  constructor(ports: QueueImportPorts) {
    this.#ports = ports;
    this.#positions = new Positions(ports);
  }

  /**
   * Takes one whole file; `name` is for messages. Throws HUB_IMPORT_FOREIGN, _NEWER, _TORN, _DAMAGED, _DEVICE_UNKNOWN,
   * _DEVICE_DISABLED, _WRONG_KEY, _GAP, or HUB_LOG_WRITE_FAILED.
   */
  take(name: string, file: Buffer): ImportedFile {
    const { facts, seal, messages } = this.#open(name, file);
    const logged = this.#append(name, facts, messages);
    const repeated = messages.length - logged;
    const { clock, entropy, log } = this.#ports;
    const { gone: _gone, first: _first, createdMs: _created, ...taken } = facts;
    const salt = entropy.bytes(saltBytes);
    const receipt = formatReceipt(
      { ...taken, repeated, takenMs: clock.wallMs() },
      { salt, sign: (text) => seal.signReceipt(text, salt) },
    );
    const { deviceId: device, queue, stream, after, last } = facts;
    log.info('a queue file was taken', { file: name, device, stream, after, last, logged, repeated });
    return { device, queue, stream, after, last, messages: messages.length, logged, repeated, receipt };
  }

  #open(name: string, file: Buffer) {
    const header = readSegmentHeader(file);
    if (!header.ok) throw fileRefused(name, header);
    const { facts, salt, proof } = header;
    const body = segmentBody(file, header);
    if (isRefusal(body)) throw fileRefused(name, body);
    const seal = this.#sealOf(name, facts.deviceId, (candidate) => candidate.hasSealed(proof, salt));
    const plain = seal.unseal(body, { salt, associated: header.header });
    const read: ReturnType<typeof readSegmentMessages> =
      plain === undefined
        ? { ok: false, fault: 'damaged', reason: 'its seal is broken' }
        : readSegmentMessages(plain, facts);
    if (!read.ok) throw fileRefused(name, read);
    return { facts, seal, messages: read.messages.map(({ message }) => this.#carried(facts.deviceId, message)) };
  }

  /** As on the link: a gateway speaks for itself, its modules and the devices behind it; of others it answers for what it has. */
  #carried(deviceId: string, message: Message): Message {
    if (message.sender.deviceId === deviceId) return message;
    const isBehind = this.#ports.registry.isBehind(deviceId, message.sender);
    return { ...(isBehind ? message : takenOver(message, { deviceId, moduleId: edgeHubId })), carrier: deviceId };
  }

  /** The device's key that made the file; it may be either of the two. */
  #sealOf(name: string, deviceId: string, isIt: (seal: FileSeal) => boolean): FileSeal {
    const record = this.#ports.registry.find({ deviceId });
    if (record === undefined || !record.enabled)
      throw fileOfStranger(name, { deviceId, isKnown: record !== undefined });
    const { primaryKey, secondaryKey } = record.keys;
    const found = [primaryKey, secondaryKey].map((key) => this.#ports.sealOf(key)).find(isIt);
    if (found === undefined) throw fileWrongKey(name, deviceId);
    return found;
  }

  /** How many were new. */
  #append(name: string, facts: SegmentFacts, messages: readonly Message[]): number {
    const { database, eventLog, metrics, clock } = this.#ports;
    const { deviceId, stream, after, gone } = facts;
    const received = this.#positions.last(deviceId, stream);
    if (after > Math.max(received, gone)) throw fileMissing(name, { deviceId, received, after });
    const nowMs = clock.wallMs();
    let logged: number;
    try {
      logged = database.transaction(() => {
        const fresh = this.#positions.advance(messages);
        const arrived = fresh.map((message) => ({ ...message, system: withOrigin(message), enqueuedMs: nowMs }));
        eventLog.append(arrived, { repeated: messages.length - fresh.length });
        return fresh.length;
      });
    } catch (cause) {
      this.#ports.log.error('a queue file could not be written to the log', {
        file: name,
        reason: errorMessage(cause),
      });
      throw logWriteFailed(cause);
    }
    metrics.counter('weir_hub_events_logged').add(logged);
    metrics.counter('weir_hub_events_repeated').add(messages.length - logged);
    eventLog.committed();
    return logged;
  }
}

/** As the link sends them: the time of acceptance at the gateway is the creation time, unless the sender gave one. */
function withOrigin({ system, enqueuedMs }: Message): Readonly<Record<string, string>> {
  if (system['creationTime'] !== undefined) return system;
  return { ...system, creationTime: new Date(enqueuedMs).toISOString() };
}

function isRefusal(body: Buffer | SegmentRefusal): body is SegmentRefusal {
  return 'fault' in body;
}
