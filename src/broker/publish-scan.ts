// Runs: neighbouring plain QoS 0 PUBLISH packets of one topic in one read, found by comparing bytes.
//
//   30 len topic payload | 30 len topic payload | 30 len topic payload | 32 …
//   └ at ─────────────────────── one run, count 3 ─────────────────────┘ end
//
// A run is forwarded as one range: no packet of it is decoded, none is an object. What a run holds was checked:
// the topic by the packet it was learnt from, each length here.

import { Buffer } from 'node:buffer';
import { messageBytesMax } from '../limits.ts';
import { lengthFieldValue, type MqttVersion, minimalFieldBytes } from '../protocol/mqtt/frame.ts';
import { plainPublishByte } from '../protocol/mqtt/publish.ts';

const nothing = Buffer.alloc(0);

/** One scan's result; reused, so that scanning allocates nothing. */
export class PublishScan {
  /** Where the run lies; borrowed. */
  buffer: Buffer = nothing;
  /** Offset of the run's first byte. */
  from = 0;
  /** Offset of the first byte that is not in the run. */
  to = 0;
  /** Packets in the run. */
  count = 0;
  /** Bytes of their payloads. */
  payloadBytes = 0;
  /** Of the client that sent them; the caller's to set. */
  version: MqttVersion = 4;

  /**
   * Measures the run at `buffer[at..end)` of packets that begin with `topic` behind their fixed header: the
   * length-prefixed topic, in MQTT 5 with the empty property section.
   */
  measure(
    buffer: Buffer,
    { at, end, topic }: { readonly at: number; readonly end: number; readonly topic: Buffer },
  ): void {
    let next = at;
    let count = 0;
    let bytes = 0;
    while (next < end && buffer[next] === plainPublishByte) {
      // A length longer than it need be is not passed on: MQTT 5 receivers refuse it [MQTT-1.5.5-1].
      const field = minimalFieldBytes(buffer, next + 1, end);
      if (field < 1) break;
      const bodyAt = next + 1 + field;
      const rest = lengthFieldValue(buffer, next + 1, field);
      const payloadBytes = rest - topic.length;
      if (bodyAt + rest > end || payloadBytes < 0 || payloadBytes > messageBytesMax) break;
      if (!startsWith(buffer, bodyAt, topic)) break;
      next = bodyAt + rest;
      count++;
      bytes += payloadBytes;
    }
    this.buffer = buffer;
    this.from = at;
    this.to = next;
    this.count = count;
    this.payloadBytes = bytes;
  }
}

/** Whether `buffer` has the bytes of `expected` at `at`; the caller has checked that they would fit. */
export function startsWith(buffer: Buffer, at: number, expected: Buffer): boolean {
  // Topics of one client often share a prefix: the last byte tells them apart first.
  for (let index = expected.length - 1; index >= 0; index--) {
    if (buffer[at + index] !== expected[index]) return false;
  }
  return true;
}
