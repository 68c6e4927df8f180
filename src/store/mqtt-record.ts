// The bytes of MQTT state: one commit of the journal, one page of loading, one session's record.
//
//   commit, until the end:                         page, `count` times, by what is loaded:
//     u8 operation, then                             message     varint id, f64 expiry, u8 whole, u32 n, canonical
//     message        varint id, f64 expiry,          session     varint id, u8 whole, u32 n, record
//                    u32 n, canonical                subscription varint session, text filter, u8 options, varint id
//     delivery       varint session, varint ordinal, receiving   varint session, varint packet id
//     (again)        varint message, u8 facts,       delivery    as in a commit, behind it the step
//                    varint packet id, u8 awaiting,  retained    text topic, varint message, u8 qos
//                    varint n, n × varint id
//     step           varint session, varint ordinal, varint packet id, u8 awaiting
//     delivered      varint session, varint ordinal
//     session        varint id, u32 n, record
//     ended          varint id
//     subscription   varint session, text filter, u8 options, varint id
//     unsubscribed   varint session, text filter
//     receiving, released   varint session, varint packet id
//     retained       text topic, varint message, u8 qos
//     cleared        text topic
//
// Ordinals and ids of messages are written as `long`: two varints, high and low 28 bits. A message comes before
// whatever speaks of it. `facts`: bits 0-1 QoS, bit 2 retain. `options`: as on the wire (MQTT 5 §3.8.3.1), bit 6:
// the filter belongs to the topic service, bit 7: retained messages of it are still to be sent. `whole`: the checksum
// fits.

import type { Buffer } from 'node:buffer';
import { ByteReader, type ByteWriter, unreadable } from './byte-buffer.ts';
import type { SessionRecord, SubscriptionRecord } from './mqtt-shapes.ts';

export const operation = {
  message: 1,
  delivery: 2,
  deliveryAgain: 3,
  step: 4,
  delivered: 5,
  session: 6,
  ended: 7,
  subscription: 8,
  unsubscribed: 9,
  receiving: 10,
  released: 11,
  retained: 12,
  cleared: 13,
} as const;

const format = 1;
const flagIdentity = 1;
const flagModule = 2;
const flagWill = 4;
const flagWillExpiry = 8;
const longLowBits = 28;
const qosMask = 0x03;
const retainBit = 0x04;
const noLocalBit = 0x04;
const asPublishedBit = 0x08;
const handlingShift = 4;
const ownedBit = 0x40;
const replayingBit = 0x80;

export function writeLong(writer: ByteWriter, value: number): void {
  const high = Math.floor(value / 2 ** longLowBits);
  writer.varint(high);
  writer.varint(value - high * 2 ** longLowBits);
}

export function readLong(reader: ByteReader): number {
  const high = reader.varint();
  return high * 2 ** longLowBits + reader.varint();
}

export function factsOf(message: { readonly qos: number; readonly retain: boolean }): number {
  return message.qos | (message.retain ? retainBit : 0);
}

export function readFacts(facts: number): { readonly qos: 0 | 1 | 2; readonly retain: boolean } {
  return { qos: qosOf(facts & qosMask), retain: (facts & retainBit) !== 0 };
}

export function optionsOf(subscription: SubscriptionRecord): number {
  return (
    subscription.qos |
    (subscription.noLocal ? noLocalBit : 0) |
    (subscription.retainAsPublished ? asPublishedBit : 0) |
    (subscription.retainHandling << handlingShift) |
    (subscription.owned ? ownedBit : 0) |
    (subscription.replaying ? replayingBit : 0)
  );
}

export function readOptions(filter: string, options: number, subscriptionId: number): SubscriptionRecord {
  return {
    filter,
    qos: qosOf(options & qosMask),
    noLocal: (options & noLocalBit) !== 0,
    retainAsPublished: (options & asPublishedBit) !== 0,
    retainHandling: qosOf((options >> handlingShift) & qosMask),
    subscriptionId,
    owned: (options & ownedBit) !== 0,
    replaying: (options & replayingBit) !== 0,
  };
}

export function writeSession(writer: ByteWriter, session: SessionRecord): void {
  const { clientId, principal, expirySeconds, leftAtMs, will } = session;
  const { identity } = principal;
  writer.byte(format);
  writer.byte(
    (identity === undefined ? 0 : flagIdentity) |
      (identity?.moduleId === undefined ? 0 : flagModule) |
      (will === undefined ? 0 : flagWill) |
      (will?.expirySeconds === undefined ? 0 : flagWillExpiry),
  );
  writer.text(clientId);
  writer.text(principal.name);
  writer.float64(expirySeconds);
  writer.float64(leftAtMs);
  if (identity !== undefined) writer.text(identity.deviceId);
  if (identity?.moduleId !== undefined) writer.text(identity.moduleId);
  if (will === undefined) return;
  writer.byte(factsOf(will));
  writer.float64(will.delaySeconds);
  if (will.expirySeconds !== undefined) writer.float64(will.expirySeconds);
  writer.append(will.canonical);
}

/** Throws STORE_RECORD_UNREADABLE. A will's bytes are a view into `bytes`. */
export function readSession(bytes: Buffer): SessionRecord {
  const reader = new ByteReader(bytes);
  const found = reader.byte();
  if (found !== format) throw unreadable(`format ${found}, this program knows ${format}`);
  const flags = reader.byte();
  const clientId = reader.text();
  const name = reader.text();
  const expirySeconds = reader.float64();
  const leftAtMs = reader.float64();
  const deviceId = (flags & flagIdentity) === 0 ? undefined : reader.text();
  const moduleId = (flags & flagModule) === 0 ? undefined : reader.text();
  const identity = deviceId === undefined ? undefined : { deviceId, ...(moduleId === undefined ? {} : { moduleId }) };
  const will = (flags & flagWill) === 0 ? undefined : readWill(reader, flags);
  return { clientId, principal: { name, identity }, expirySeconds, leftAtMs, will };
}

function readWill(reader: ByteReader, flags: number): NonNullable<SessionRecord['will']> {
  const facts = readFacts(reader.byte());
  const delaySeconds = reader.float64();
  const expirySeconds = (flags & flagWillExpiry) === 0 ? undefined : reader.float64();
  return { ...facts, delaySeconds, expirySeconds, canonical: reader.bytes(reader.remaining) };
}

function qosOf(bits: number): 0 | 1 | 2 {
  if (bits === 0 || bits === 1 || bits === 2) return bits;
  throw unreadable(`a QoS of ${bits}`);
}
