// A kept message as bytes in somebody's block: eleven besides its own, where a view and its buffer take six hundred.
//
//   body bytes (4) | facts (1) | topic bytes (2) | properties bytes (4)
//   [expiry interval, seconds (4) | expires at, monotonic ms (8)]        with an expiry
//   body, as PublishView.writeKept() writes it
//
// Facts: QoS (2 bits), retain, room for a packet id, MQTT 5 body, text declared, expiry, interval known.
//
// Owns the form, not the block. A view that is read out borrows the bytes: valid until they are written over.

import type { Buffer } from 'node:buffer';
import type { PublishView, Qos } from '../protocol/mqtt/publish.ts';

const factsAt = 4;
const topicBytesAt = 5;
const propertiesBytesAt = 7;
const headBytes = 11;
const expiryAt = 11;
const expiresAt = 15;
const expiryHeadBytes = 23;

const qosMask = 0x03;
const retainFact = 0x04;
const idFact = 0x08;
const version5Fact = 0x10;
const textFact = 0x20;
const expiryFact = 0x40;
const intervalFact = 0x80;

/** Bytes that `view` takes. */
export function packedBytes(view: PublishView): number {
  return (hasExpiry(view) ? expiryHeadBytes : headBytes) + view.keptBytes;
}

/** Writes `view` to `target` at `at`, where there is room for it. Returns the offset behind it. */
export function packView(view: PublishView, target: Buffer, at: number): number {
  target.writeUInt32LE(view.keptBytes, at);
  target[at + factsAt] = factsOf(view);
  target.writeUInt16LE(view.topicBytes, at + topicBytesAt);
  target.writeUInt32LE(view.propertiesBytes, at + propertiesBytesAt);
  if (!hasExpiry(view)) return view.writeKept(target, at + headBytes);
  target.writeUInt32LE(view.expirySeconds ?? 0, at + expiryAt);
  target.writeDoubleLE(view.expiresAtMs, at + expiresAt);
  return view.writeKept(target, at + expiryHeadBytes);
}

/** The keptBytes of what is packed at `at`. */
export function packedBodyBytes(source: Buffer, at: number): number {
  return source.readUInt32LE(at);
}

/** The offset behind what is packed at `at`. */
export function behindPacked(source: Buffer, at: number): number {
  return bodyAt(source, at) + source.readUInt32LE(at);
}

/** Reads what is packed at `at` into `view`. */
export function unpackView(source: Buffer, at: number, view: PublishView): void {
  const facts = source[at + factsAt] as number;
  const from = bodyAt(source, at);
  view.readKept(
    source,
    { from, to: from + source.readUInt32LE(at) },
    {
      bodyVersion: (facts & version5Fact) === 0 ? 4 : 5,
      topicBytes: source.readUInt16LE(at + topicBytesAt),
      propertiesBytes: source.readUInt32LE(at + propertiesBytesAt),
      idBytes: (facts & idFact) === 0 ? 0 : 2,
      qos: (facts & qosMask) as Qos,
      retain: (facts & retainFact) !== 0,
      expirySeconds: (facts & intervalFact) === 0 ? undefined : source.readUInt32LE(at + expiryAt),
      expiresAtMs: (facts & expiryFact) === 0 ? 0 : source.readDoubleLE(at + expiresAt),
      declaresText: (facts & textFact) !== 0,
    },
  );
}

function bodyAt(source: Buffer, at: number): number {
  return at + (((source[at + factsAt] as number) & expiryFact) === 0 ? headBytes : expiryHeadBytes);
}

function hasExpiry({ expiresAtMs, expirySeconds }: PublishView): boolean {
  return expiresAtMs > 0 || expirySeconds !== undefined;
}

function factsOf(view: PublishView): number {
  return (
    view.qos |
    (view.retain ? retainFact : 0) |
    (view.idBytes > 0 ? idFact : 0) |
    (view.bodyVersion === 4 ? 0 : version5Fact) |
    (view.declaresText ? textFact : 0) |
    (hasExpiry(view) ? expiryFact : 0) |
    (view.expirySeconds === undefined ? 0 : intervalFact)
  );
}
