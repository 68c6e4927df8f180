// Runs of QoS 1 and 2: neighbouring plain PUBLISH packets of one QoS and one topic in one read.
//
//   32 len topic id payload | 32 len topic id payload | 32 len topic id payload | 32 … other topic
//          3.1, 3.1.1           MQTT 5: topic id 00 payload
//   └ from ─────────────────────── one run, count 3 ──────────────────────┘ to
//
// A run goes to a receiver of the same QoS and version in one copy, into which its packet ids are written. Neither
// retained nor repeated (DUP) packets are in a run, nor packets with properties. What a run holds was checked: the
// topic by the packet it was learnt from, each length and packet id here.

import { Buffer } from 'node:buffer';
import { messageBytesMax } from '../limits.ts';
import { lengthFieldValue, type MqttVersion, minimalFieldBytes } from '../protocol/mqtt/frame.ts';
import { packetIdBytes, plainPublishByte, qosShift, readUint16 } from '../protocol/mqtt/publish-view.ts';
import { startsWith } from './publish-scan.ts';

/** Packets of a run: more than one read of small messages usually has. */
const runPacketsMax = 1024;
const version5 = 5;
const qosMask = 3;
const nothing = Buffer.alloc(0);

/** One scan's result; reused, so that scanning allocates nothing. */
export class AckedRun {
  buffer: Buffer = nothing;
  qos: 1 | 2 = 1;
  /** Of the publisher. */
  version: MqttVersion = 4;
  from = 0;
  /** Offset of the first byte that is not in the run. */
  to = 0;
  count = 0;
  payloadBytes = 0;
  /** Bytes of the largest packet. */
  packetBytesMax = 0;
  /** Where each packet begins, and where its packet id is. */
  readonly starts = new Uint32Array(runPacketsMax + 1);
  readonly idsAt = new Uint32Array(runPacketsMax);

  /**
   * Measures the run at `buffer[at..end)` of packets with the first byte of the first one, whose topics have the
   * length-prefixed bytes `topic`; at most `room` of them.
   */
  measure(
    buffer: Buffer,
    {
      at,
      end,
      topic,
      version,
      room,
    }: {
      readonly at: number;
      readonly end: number;
      readonly topic: Buffer;
      readonly version: MqttVersion;
      readonly room: number;
    },
  ): void {
    const { starts, idsAt } = this;
    const firstByte = buffer[at] as number;
    const emptyProperties = version === version5;
    const headBytes = topic.length + packetIdBytes + (emptyProperties ? 1 : 0);
    const countMax = Math.min(room, runPacketsMax);
    let next = at;
    let count = 0;
    let largest = 0;
    let heads = 0;
    while (next < end && count < countMax && buffer[next] === firstByte) {
      const field = minimalFieldBytes(buffer, next + 1, end);
      if (field < 1) break;
      const bodyAt = next + 1 + field;
      const packetEnd = bodyAt + lengthFieldValue(buffer, next + 1, field);
      const payloadAt = bodyAt + headBytes;
      if (packetEnd > end || payloadAt > packetEnd || packetEnd - payloadAt > messageBytesMax) break;
      if (emptyProperties && buffer[payloadAt - 1] !== 0) break;
      const idAt = bodyAt + topic.length;
      if (readUint16(buffer, idAt) === 0 || !startsWith(buffer, bodyAt, topic)) break;
      starts[count] = next;
      idsAt[count] = idAt;
      count++;
      heads += payloadAt - next;
      if (packetEnd - next > largest) largest = packetEnd - next;
      next = packetEnd;
    }
    starts[count] = next;
    this.buffer = buffer;
    this.qos = ((firstByte >> qosShift) & qosMask) as 1 | 2;
    this.version = version;
    this.from = at;
    this.to = next;
    this.count = count;
    this.payloadBytes = next - at - heads;
    this.packetBytesMax = largest;
  }

  /** Leaves the first `count` packets in the run. */
  cut(count: number): void {
    if (count >= this.count) return;
    const { starts, idsAt } = this;
    const headBytes = packetIdBytes + (this.version === version5 ? 1 : 0);
    let payloadBytes = 0;
    for (let index = 0; index < count; index++) {
      payloadBytes += (starts[index + 1] as number) - (idsAt[index] as number) - headBytes;
    }
    this.to = starts[count] as number;
    this.count = count;
    this.payloadBytes = payloadBytes;
  }

  packetId(index: number): number {
    return readUint16(this.buffer, this.idsAt[index] as number);
  }
}

/** First bytes of the packets that runs are made of. */
export const plainQos1Byte = plainPublishByte | (1 << qosShift);
export const plainQos2Byte = plainPublishByte | (2 << qosShift);
