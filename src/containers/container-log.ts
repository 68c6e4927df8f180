// A container's log as a module's log file: the same lines, names and bounds as weir-shim's of a process.
//
//   2026-11-21T09:12:44.123Z O text of a stdout line
//   2026-11-21T09:12:44.124Z E text of a stderr line
//   2026-11-21T09:12:44.125Z S container 0123456789ab         from here on lines are of this container
//
// FILE grows to bytesMax, becomes FILE.1, and so on; the oldest goes. What a failing disk does not take is counted and
// remarked on later.
//
// Invariant: the file itself is the record of how far the engine's log was read. Seconds of its stamps are the engine's,
// so the last lines since the container's remark are a place in the engine's log (log-place.ts) that the next life of
// the runtime finds again: no line twice, none missing, and no further record to keep in step.

import { containerLogBatchBytesMax, containerLogTailBytesMax } from '../limits.ts';
import { errorMessage } from '../model/errors.ts';
import type { AppendFile, AppendFiles } from '../platform/append-files.ts';
import type { Clock } from '../platform/clock.ts';
import type { Disk } from '../platform/disk.ts';
import type { Log } from '../platform/log.ts';
import type { LogLine } from './log-frames.ts';
import { type LogPlace, LogProgress, type PlacedLine, placedLine } from './log-place.ts';

export interface ContainerLogPorts {
  readonly files: AppendFiles;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly log: Log;
}

export interface LogBounds {
  readonly bytesMax: number;
  readonly files: number;
}

const msPerSecond = 1000;
const filesMax = 99;
const shortIdLength = 12;
const linePattern = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d{3}Z ([OES]) ?([\s\S]*)$/;
const remarkPattern = /^container ([0-9a-f]+)$/;

export class ContainerLog {
  readonly #ports: ContainerLogPorts;
  readonly #path: string;
  #bounds: LogBounds;
  #file: AppendFile | undefined;
  #progress = new LogProgress();
  #lastStampMs = 0;
  #droppedUntold = 0;
  #lastFailure = '';
  /** Bytes of this container's lines that the disk did not take. */
  droppedBytes = 0;

  constructor(ports: ContainerLogPorts, options: { readonly path: string; readonly bounds: LogBounds }) {
    this.#ports = ports;
    this.#path = options.path;
    this.#bounds = options.bounds;
  }

  set bounds(bounds: LogBounds) {
    this.#bounds = bounds;
  }

  /** Undefined: nothing of this container was written yet. */
  get place(): LogPlace | undefined {
    return this.#progress.place;
  }

  /** Goes on where the file says this container's log was left; with a remark when it is another container's. */
  async goOn(containerId: string): Promise<void> {
    const id = containerId.slice(0, shortIdLength);
    this.droppedBytes = 0;
    const found = await this.#look(id).catch(() => undefined);
    this.#progress = new LogProgress();
    for (const line of found?.lines ?? []) this.#progress.add(line);
    if (found?.isOurs === true) return;
    await this.#write([this.#format(this.#ports.clock.wallMs(), 'S', Buffer.from(`container ${id}`))]);
  }

  async add(lines: readonly LogLine[]): Promise<void> {
    let batch: Buffer[] = [];
    let bytes = 0;
    for (const line of lines) {
      const stampMs = this.#stamp(line);
      this.#progress.add(placedLine(Math.floor(stampMs / msPerSecond), line.stream, line.text));
      const formatted = this.#format(stampMs, line.stream, line.text);
      batch.push(formatted);
      bytes += formatted.length;
      if (bytes < containerLogBatchBytesMax) continue;
      await this.#write(batch);
      batch = [];
      bytes = 0;
    }
    await this.#write(batch);
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close().catch(() => undefined);
  }

  /** Whole seconds are podman's; within one of them the time of the reading tells more, as long as it is the same second. */
  #stamp({ stampMs, isFraction }: LogLine): number {
    const nowMs = this.#ports.clock.machineWallMs();
    const toldMs = stampMs ?? nowMs;
    const second = Math.floor(toldMs / msPerSecond);
    const exactMs = !isFraction && Math.floor(nowMs / msPerSecond) === second ? nowMs : toldMs;
    const isSameSecond = Math.floor(this.#lastStampMs / msPerSecond) === second;
    this.#lastStampMs = isSameSecond ? Math.max(this.#lastStampMs, exactMs) : exactMs;
    return this.#lastStampMs;
  }

  #format(stampMs: number, kind: 'O' | 'E' | 'S', text: Buffer): Buffer {
    return Buffer.concat([Buffer.from(`${new Date(stampMs).toISOString()} ${kind} `), text, Buffer.from('\n')]);
  }

  async #write(lines: readonly Buffer[]): Promise<void> {
    let from = 0;
    while (from < lines.length) {
      const rest = lines.slice(from);
      try {
        const file = await this.#room(rest[0]?.length ?? 0);
        const room = this.#bounds.bytesMax - file.bytes;
        let count = 0;
        let bytes = 0;
        for (const line of rest) {
          if (count > 0 && bytes + line.length > room) break;
          bytes += line.length;
          count++;
        }
        await file.append('containers:log', Buffer.concat([...this.#remark(), ...rest.slice(0, count)]));
        this.#droppedUntold = 0;
        from += count;
      } catch (error) {
        const lost = rest.reduce((sum, line) => sum + line.length, 0);
        this.droppedBytes += lost;
        this.#droppedUntold += lost;
        this.#tell(errorMessage(error));
        await this.close();
        return;
      }
    }
  }

  #remark(): readonly Buffer[] {
    if (this.#droppedUntold === 0) return [];
    const text = Buffer.from(`${this.#droppedUntold} bytes of the log were lost: ${this.#lastFailure}`);
    return [this.#format(this.#ports.clock.wallMs(), 'S', text)];
  }

  #tell(failure: string): void {
    if (failure !== this.#lastFailure)
      this.#ports.log.warn('a container log cannot be written', { path: this.#path, error: failure });
    this.#lastFailure = failure;
  }

  /** The current file, with room for so many bytes, or empty. */
  async #room(bytes: number): Promise<AppendFile> {
    let file = await this.#open();
    if (file.bytes === 0 || file.bytes + bytes <= this.#bounds.bytesMax) return file;
    if (this.#bounds.files === 1) {
      await file.truncate('containers:log');
      return file;
    }
    await this.close();
    for (let number = this.#bounds.files; number <= filesMax; number++) {
      if ((await this.#ports.disk.facts('containers:log-facts', this.#name(number))) === undefined) break;
      await this.#ports.disk.remove('containers:log-remove', this.#name(number));
    }
    for (let number = this.#bounds.files - 1; number > 0; number--) {
      if ((await this.#ports.disk.facts('containers:log-facts', this.#name(number - 1))) === undefined) continue;
      await this.#ports.disk.rename('containers:log-rename', this.#name(number - 1), this.#name(number));
    }
    file = await this.#open();
    return file;
  }

  async #open(): Promise<AppendFile> {
    if (this.#file !== undefined && (await this.#ports.disk.facts('containers:log-facts', this.#path)) === undefined)
      await this.close(); // Deleted by an operator: writing on would fill the disk unseen.
    if (this.#file !== undefined) return this.#file;
    const file = await this.#ports.files.open('containers:log-open', this.#path);
    if (!file.endsLine) await file.append('containers:log', Buffer.from('\n'));
    this.#file = file;
    return file;
  }

  #name(number: number): string {
    return number === 0 ? this.#path : `${this.#path}.${number}`;
  }

  /** From the end of the log backwards to the container's remark. Without any remark in sight the log is taken as its. */
  async #look(id: string): Promise<{ readonly isOurs: boolean; readonly lines: readonly PlacedLine[] }> {
    const { disk } = this.#ports;
    let text = '';
    for (const number of [1, 0]) {
      const facts = await disk.facts('containers:log-facts', this.#name(number));
      if (facts === undefined) continue;
      const offset = Math.max(0, facts.bytes - containerLogTailBytesMax);
      const slice = await disk.readSlice('containers:log-read', this.#name(number), {
        offset,
        bytesMax: Math.min(facts.bytes, containerLogTailBytesMax),
      });
      text += slice.toString('latin1');
    }
    if (text === '') return { isOurs: false, lines: [] };
    const lines: PlacedLine[] = [];
    for (const line of text.split('\n').reverse()) {
      const [, time, kind = '', rest = ''] = linePattern.exec(line) ?? [];
      if (time === undefined) continue;
      const remark = kind === 'S' ? remarkPattern.exec(rest) : null;
      if (remark !== null)
        return remark[1] === id ? { isOurs: true, lines: lines.reverse() } : { isOurs: false, lines: [] };
      if (kind !== 'S') lines.push(placedLine(Date.parse(`${time}Z`) / msPerSecond, kind, rest));
    }
    return { isOurs: true, lines: lines.reverse() };
  }
}
