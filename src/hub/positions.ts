// How far each stream of a device has been received: what makes a repetition harmless.
//
// Owns table `position`. A sender that may repeat itself names its stream and counts (model/message.ts). The stream of a
// gateway is the gateway's own, whosever messages it carries. Of a
// batch, `advance` keeps what is new and moves the positions, inside the caller's transaction: message and
// position are committed together or not at all.
//
// Bounded: a device keeps its `hubStreamsPerDeviceMax` most recently used streams. A stream ends with the life of
// the sender's queue, so the oldest are those of lives long over.

import { hubStreamsPerDeviceMax } from '../limits.ts';
import type { Message, StreamPosition } from '../model/message.ts';
import type { Clock } from '../platform/clock.ts';
import type { HubDatabase } from './database.ts';

interface Mark {
  readonly device: string;
  readonly stream: string;
  readonly before: number | undefined;
  last: number;
}

export class Positions {
  readonly #database: HubDatabase;
  readonly #clock: Clock;

  constructor(ports: { readonly database: HubDatabase; readonly clock: Clock }) {
    this.#database = ports.database;
    this.#clock = ports.clock;
  }

  /** The messages of `batch` not seen before, in order. Must run inside the transaction that logs them. */
  advance(batch: readonly Message[]): readonly Message[] {
    const marks = new Map<string, Mark>();
    const fresh = batch.filter((message) => {
      if (message.hop === undefined) return true;
      const mark = this.#mark(marks, message.carrier ?? message.sender.deviceId, message.hop);
      if (message.hop.sequence <= mark.last) return false;
      mark.last = message.hop.sequence;
      return true;
    });
    for (const mark of marks.values()) this.#save(mark);
    return fresh;
  }

  /** The highest sequence received of a stream; 0 when there was none. */
  last(device: string, stream: string): number {
    return this.#mark(new Map(), device, { stream }).last;
  }

  #mark(marks: Map<string, Mark>, device: string, { stream }: Pick<StreamPosition, 'stream'>): Mark {
    // Neither ids nor stream names contain a line feed.
    const key = `${device}\n${stream}`;
    let mark = marks.get(key);
    if (mark === undefined) {
      const before = this.#database.get<{ readonly last: number }>(
        'SELECT last FROM position WHERE device = ? AND stream = ?',
        device,
        stream,
      )?.last;
      mark = { device, stream, before, last: before ?? 0 };
      marks.set(key, mark);
    }
    return mark;
  }

  #save({ device, stream, before, last }: Mark): void {
    if (last === before) return;
    this.#database.run(
      `INSERT INTO position (device, stream, last, used_ms) VALUES (?, ?, ?, ?)
         ON CONFLICT (device, stream) DO UPDATE SET last = excluded.last, used_ms = excluded.used_ms`,
      device,
      stream,
      last,
      this.#clock.wallMs(),
    );
    if (before === undefined) this.#forgetOldest(device, stream);
  }

  #forgetOldest(device: string, keep: string): void {
    this.#database.run(
      `DELETE FROM position WHERE device = ? AND stream IN (
           SELECT stream FROM position WHERE device = ? AND stream <> ? ORDER BY used_ms DESC LIMIT -1 OFFSET ?)`,
      device,
      device,
      keep,
      hubStreamsPerDeviceMax - 1,
    );
  }
}
