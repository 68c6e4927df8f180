// Which messages of a batch go to the hub together, in frames (protocol/iothub/telemetry-frame.ts), and which singly.
//
// A frame holds what follows each other in one lane without a gap, two messages at least: one alone goes as it always
// did, and none waits for company. What fits no frame goes singly in its place.
//
// The hub refuses by ending the connection, and does not say over which message. So what was in a frame that was not
// acknowledged goes singly the next time: what is wrong with one message then holds up that message and no other that came
// before it, and who looks on sees which it is. After a mere loss of the link that is what was under way, once.
//
// Outlives the connections; bounded by `upstreamSingleStreamsMax`.

import { upstreamSingleStreamsMax } from '../limits.ts';
import type { StreamPosition } from '../model/message.ts';
import { type FramedMessage, TelemetryFrameWriter } from '../protocol/iothub/telemetry-frame.ts';
import type { OutgoingMessage } from './ports.ts';

export class Frame {
  readonly count: number;
  readonly payload: Buffer;
  readonly last: StreamPosition;

  constructor(writer: TelemetryFrameWriter, last: StreamPosition) {
    this.count = writer.count;
    this.payload = writer.frame();
    this.last = last;
  }
}

/** What becomes one publish. */
export type Parcel = OutgoingMessage | Frame;

export function messagesIn(parcel: Parcel): number {
  return parcel instanceof Frame ? parcel.count : 1;
}

export class Framing {
  /** By stream: up to here messages go singly. */
  readonly #singlyTo = new Map<string, number>();

  /** The batch in its order. `framed`: a message as it stands in a frame. */
  pack(batch: readonly OutgoingMessage[], framed: (outgoing: OutgoingMessage) => FramedMessage): readonly Parcel[] {
    if (batch.length < 2) return batch;
    const parcels: Parcel[] = [];
    for (let from = 0; from < batch.length; ) {
      const parcel = this.#frameAt(batch, from, framed) ?? (batch[from] as OutgoingMessage);
      parcels.push(parcel);
      from += messagesIn(parcel);
    }
    return parcels;
  }

  /** The first `accepted` of them were acknowledged, and no more are. */
  settled(parcels: readonly Parcel[], accepted: number): void {
    if (accepted === parcels.length && this.#singlyTo.size === 0) return;
    for (const [index, parcel] of parcels.entries()) {
      const { stream, sequence } = parcel instanceof Frame ? parcel.last : parcel.hop;
      const singlyTo = this.#singlyTo.get(stream) ?? 0;
      if (index >= accepted) {
        if (parcel instanceof Frame) this.#mark(stream, Math.max(singlyTo, sequence));
      } else if (sequence >= singlyTo) this.#singlyTo.delete(stream);
    }
  }

  #mark(stream: string, sequence: number): void {
    this.#singlyTo.delete(stream);
    this.#singlyTo.set(stream, sequence);
    const [oldest] = this.#singlyTo.keys();
    if (oldest !== undefined && this.#singlyTo.size > upstreamSingleStreamsMax) this.#singlyTo.delete(oldest);
  }

  #frameAt(
    batch: readonly OutgoingMessage[],
    from: number,
    framed: (outgoing: OutgoingMessage) => FramedMessage,
  ): Frame | undefined {
    const { hop } = batch[from] as OutgoingMessage;
    const writer = new TelemetryFrameWriter(hop);
    let last = hop;
    for (let index = from; index < batch.length; index++) {
      const outgoing = batch[index] as OutgoingMessage;
      if (this.#goesSingly(outgoing.hop) || !writer.add(framed(outgoing))) break;
      last = outgoing.hop;
    }
    return writer.count < 2 ? undefined : new Frame(writer, last);
  }

  #goesSingly({ stream, sequence }: StreamPosition): boolean {
    return sequence <= (this.#singlyTo.get(stream) ?? 0);
  }
}
