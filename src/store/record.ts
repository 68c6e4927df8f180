// A message as the bytes that lie on disk.
//
//   u8    format, 2
//   u8    flags: 1 hop · 2 moduleId · 4 output
//   f64   enqueuedMs, as the wall clock said then
//   f64   monotonicMs of that instant: what stays true when the wall clock turns out to have been wrong
//   hop         text stream, f64 sequence            when flagged
//   text  deviceId
//   text  moduleId                                   when flagged
//   text  output                                     when flagged
//   varint n, n × (text name, text value)            system properties
//   varint n, n × (text name, text value)            application properties
//   …     body: all the rest
//
// Format 1, which older versions wrote and which is still read, has no monotonicMs, and enqueuedMs behind the hop.
//
// Numbers are little-endian, `text` is varint byte length and UTF-8 (byte-buffer.ts).
//
// Versioned by its first byte: a reader takes every format up to its own and refuses newer ones. Integrity is
// not this file's concern: the outbox has checksums.

import type { Buffer } from 'node:buffer';
import { storeRecordBytesMax } from '../limits.ts';
import type { Identity } from '../model/address.ts';
import type { Message, StreamPosition } from '../model/message.ts';
import { ByteReader, type ByteWriter, unreadable } from './byte-buffer.ts';
import { StoreError } from './errors.ts';

const format = 2;
const formatWithoutMonotonic = 1;
const enqueuedAt = 2;
const monotonicAt = 10;
/** A wall clock that is corrected by less than that has been right all along. */
const steppedMs = 1000;
const flagHop = 1;
const flagModule = 2;
const flagOutput = 4;
const streamPattern = /^[A-Za-z0-9._-]{1,64}$/;

type Properties = Readonly<Record<string, string>>;

/**
 * Appends the record of a message accepted at `monotonicMs` to `writer` and answers its length in bytes.
 * Throws STORE_RECORD_TOO_LARGE, or STORE_RECORD_UNREADABLE for a hop no receiver could compare; the writer is
 * then as it was.
 */
export function writeRecord(writer: ByteWriter, message: Message, monotonicMs: number): number {
  const start = writer.length;
  const { hop, sender, output } = message;
  if (hop !== undefined && !isComparable(hop))
    throw unreadable(`its hop is ${JSON.stringify(hop)}, not a stream name and a positive number`);
  writer.byte(format);
  writer.byte(
    (hop === undefined ? 0 : flagHop) |
      (sender.moduleId === undefined ? 0 : flagModule) |
      (output === undefined ? 0 : flagOutput),
  );
  writer.float64(message.enqueuedMs);
  writer.float64(monotonicMs);
  if (hop !== undefined) {
    writer.text(hop.stream);
    writer.float64(hop.sequence);
  }
  writer.text(sender.deviceId);
  if (sender.moduleId !== undefined) writer.text(sender.moduleId);
  if (output !== undefined) writer.text(output);
  writeProperties(writer, message.system);
  writeProperties(writer, message.properties);
  writer.append(message.body);
  const length = writer.length - start;
  if (length <= storeRecordBytesMax) return length;
  writer.truncate(start);
  throw new StoreError({
    code: 'STORE_RECORD_TOO_LARGE',
    message: `A message of ${length} bytes is larger than ${storeRecordBytesMax} bytes, the most that is stored. Send it in parts.`,
    fields: { bytes: length, bytesMax: storeRecordBytesMax },
  });
}

/**
 * The message of one record. Its body is a view into `bytes`. `wallShiftMs`: what the wall clock of its boot turned
 * out to be wrong by; a record of format 1 keeps its time, because it may be of another boot.
 * Throws STORE_RECORD_UNREADABLE.
 */
export function readRecord(bytes: Buffer, wallShiftMs = 0): Message {
  const reader = new ByteReader(bytes);
  const head = readHead(reader);
  const { flags, hop } = head;
  const enqueuedMs = head.format === formatWithoutMonotonic ? head.enqueuedMs : head.enqueuedMs + wallShiftMs;
  const deviceId = reader.text();
  const sender: Identity = (flags & flagModule) === 0 ? { deviceId } : { deviceId, moduleId: reader.text() };
  const output = (flags & flagOutput) === 0 ? undefined : reader.text();
  const system = readProperties(reader);
  const properties = readProperties(reader);
  const body = reader.bytes(reader.remaining);
  const message = { sender, system, properties, body, enqueuedMs };
  if (output === undefined) return hop === undefined ? message : { ...message, hop };
  return hop === undefined ? { ...message, output } : { ...message, output, hop };
}

/**
 * The name by which positions of a stream are kept: the sender's in front of the stream's. A stream belongs to who
 * speaks in it, so that nobody can make another's messages count as repetitions.
 */
export function streamKey({ deviceId, moduleId }: Identity, stream: string): string {
  return moduleId === undefined ? `${deviceId}/${stream}` : `${deviceId}/${moduleId}/${stream}`;
}

/**
 * Puts the time of acceptance right, in place, when the wall clock was stepped by `stepMs` while the record waited
 * for its commit; `offsetMs` is wall minus monotonic time from before the step.
 */
export function shiftEnqueued(
  bytes: Buffer,
  { offsetMs, stepMs }: { readonly offsetMs: number; readonly stepMs: number },
): void {
  if (bytes[0] !== format) return;
  const enqueuedMs = bytes.readDoubleLE(enqueuedAt);
  if (Math.abs(enqueuedMs - bytes.readDoubleLE(monotonicAt) - offsetMs) > steppedMs) return;
  bytes.writeDoubleLE(enqueuedMs + stepMs, enqueuedAt);
}

/** How far the wall clock was stepped between two instants, of which wall minus monotonic time is given; 0 when it was not. */
export function wallStepMs(offsetMs: number, offsetMsLater: number): number {
  return Math.abs(offsetMsLater - offsetMs) > steppedMs ? offsetMsLater - offsetMs : 0;
}

function isComparable({ stream, sequence }: StreamPosition): boolean {
  return streamPattern.test(stream) && Number.isSafeInteger(sequence) && sequence >= 1;
}

function writeProperties(writer: ByteWriter, properties: Properties): void {
  const names = Object.keys(properties);
  writer.varint(names.length);
  for (const name of names) {
    writer.text(name);
    writer.text(properties[name] as string);
  }
}

interface RecordHead {
  readonly format: number;
  readonly flags: number;
  readonly hop: StreamPosition | undefined;
  readonly enqueuedMs: number;
}

function readHead(reader: ByteReader): RecordHead {
  const found = reader.byte();
  if (found !== format && found !== formatWithoutMonotonic)
    throw unreadable(`format ${found}, this program knows up to ${format}`);
  const flags = reader.byte();
  if (found === formatWithoutMonotonic) {
    const hop = readHopField(reader, flags);
    return { format: found, flags, hop, enqueuedMs: reader.float64() };
  }
  const enqueuedMs = reader.float64();
  reader.float64();
  return { format: found, flags, hop: readHopField(reader, flags), enqueuedMs };
}

function readHopField(reader: ByteReader, flags: number): StreamPosition | undefined {
  if ((flags & flagHop) === 0) return undefined;
  return { stream: reader.text(), sequence: reader.float64() };
}

function readProperties(reader: ByteReader): Properties {
  const count = reader.varint();
  if (count === 0) return {};
  // Object.fromEntries defines instead of assigning: a property called `__proto__` stays a property.
  const entries: [string, string][] = [];
  for (let index = 0; index < count; index++) entries.push([reader.text(), reader.text()]);
  return Object.fromEntries(entries);
}
