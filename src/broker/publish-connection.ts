// What a publisher needs of the connection it reads from: acknowledgements out, reading held and let go, its end.

import type { Buffer } from 'node:buffer';
import type { AckedRun } from './acked-run.ts';
import type { EndReason } from './errors.ts';

/** What a failed acknowledgement says to programs, and why to people. */
export interface Refusal {
  readonly reason: number;
  readonly because: string;
}

/** The connection, as far as publishing needs it. */
export interface PublishConnection {
  readonly isOpen: boolean;
  ack(type: number, packetId: number, reason: number): void;
  /** The same for a failure, with why for people. */
  refuse(type: number, packetId: number, why: Refusal): void;
  /** Acknowledgements of a whole run. */
  ackRun(type: number, run: AckedRun): void;
  /** Answers to the acknowledgements of four bytes in `buffer[from..to)`. */
  answerRun(type: number, buffer: Buffer, range: { readonly from: number; readonly to: number }): void;
  /** `count` messages came: the connection may have to wait for its rate. */
  came(count: number): void;
  /** Stops reading, until release(). */
  hold(): void;
  release(): void;
  /** Stops reading, until goOn(): then the packet at hand comes again. */
  waitWithPacket(): void;
  goOn(): void;
  end(reason: EndReason, detail?: string): void;
}
