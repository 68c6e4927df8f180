// Packets that leave together, put one behind the other into one memory.
//
// A packet is written where it leaves from: a message costs one copy and no buffer of its own. The memory is given away
// with take(), because a socket may keep it; the next begins as large as the last was full, and grows by doubling.

import { Buffer } from 'node:buffer';
import { lengthFieldSize, packetType, typeShift, writeLengthField } from './frame.ts';
import { packetIdBytes, qosShift, topicLengthBytes, writeUint16 } from './publish-view.ts';

/** A batch begins with at most this, whatever the last one had. */
const firstBytesMax = 65_536;

export interface OutgoingPublish {
  /** Valid (topic.ts). */
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1;
}

export class PacketBatch {
  readonly #begun: () => void;
  #bytes: Buffer | undefined;
  #length = 0;
  #expected = 0;

  /** `begun` is called when the first packet goes into an empty batch. */
  constructor(begun: () => void = () => undefined) {
    this.#begun = begun;
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  append(packet: Uint8Array): void {
    const bytes = this.#room(packet.byteLength);
    bytes.set(packet, this.#length);
    this.#length += packet.byteLength;
  }

  /** PUBLISH of 3.1.1 (§3.3), neither retained nor a duplicate. `packetId` is not used for QoS 0. */
  publish({ topic, payload, qos }: OutgoingPublish, packetId: number): void {
    const topicBytes = Buffer.byteLength(topic);
    const idBytes = qos === 0 ? 0 : packetIdBytes;
    const rest = topicLengthBytes + topicBytes + idBytes + payload.byteLength;
    const bytes = this.#room(1 + lengthFieldSize(rest) + rest);
    bytes[this.#length] = (packetType.publish << typeShift) | (qos << qosShift);
    let at = writeLengthField(bytes, this.#length + 1, rest);
    writeUint16(bytes, at, topicBytes);
    at += topicLengthBytes;
    at += bytes.write(topic, at, 'utf8');
    if (qos > 0) writeUint16(bytes, at, packetId);
    at += idBytes;
    bytes.set(payload, at);
    this.#length = at + payload.byteLength;
  }

  /** What was put in; the next packets go into other memory. */
  take(): Buffer {
    const bytes = this.#bytes ?? Buffer.alloc(0);
    const taken = bytes.subarray(0, this.#length);
    this.#expected = this.#length;
    this.clear();
    return taken;
  }

  clear(): void {
    this.#bytes = undefined;
    this.#length = 0;
  }

  /** Memory with room for so many bytes more. */
  #room(count: number): Buffer {
    if (this.#length === 0) this.#begun();
    const needed = this.#length + count;
    const before = this.#bytes;
    if (before !== undefined && needed <= before.byteLength) return before;
    const wanted = before === undefined ? Math.min(this.#expected, firstBytesMax) : 2 * before.byteLength;
    const bytes = Buffer.allocUnsafeSlow(Math.max(needed, wanted));
    before?.copy(bytes, 0, 0, this.#length);
    this.#bytes = bytes;
    return bytes;
  }
}
