// The engine's log stream as lines: pure, bytes in, lines out, whatever the pieces they arrive in.
//
//   frame   ┌──────┬───┬───┬───┬──────────────┬─────────┐   stream: 1 stdout, 2 stderr (0 stdin: as stdout)
//           │stream│ 0 │ 0 │ 0 │ size, u32 BE │ payload │   payload: `2026-11-21T09:12:44.123456789Z text\n`
//           └──────┴───┴───┴───┴──────────────┴─────────┘
//   tty     the payloads one after the other, without frames
//
// One message is one line here, also a part of a line that the engine cut (16 KiB): a count of lines is then a place
// in the log that an other reading finds again. Podman stamps whole seconds, Docker nanoseconds. A line that is too
// long is cut; bytes that are no frame end the reading of frames: the rest counts as plain text.

import { containerLogLineBytesMax } from '../limits.ts';

export interface LogLine {
  readonly stream: 'O' | 'E';
  /** Of the engine's stamp; undefined when the line has none. */
  readonly stampMs: number | undefined;
  readonly isFraction: boolean;
  readonly text: Buffer;
}

const headerBytes = 8;
const sizeOffset = 4;
const stderrStream = 2;
const newline = 0x0a;
const carriageReturn = 0x0d;
const blank = 0x20;
const stampBytesMax = 40;
const stampPattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;
/** No engine sends a frame as large; what says so is no frame. */
const frameBytesMax = 16_777_216;

export class LogFrames {
  readonly #isPlain: boolean;
  #pending: Buffer = Buffer.alloc(0);
  /** Of a frame that is being skipped, since it is longer than a line may be. */
  #skip = 0;
  #broken = false;

  constructor(options: { readonly tty: boolean }) {
    this.#isPlain = options.tty;
  }

  take(chunk: Uint8Array): LogLine[] {
    this.#pending = this.#pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#pending, chunk]);
    return this.#isPlain || this.#broken ? this.#plain() : this.#framed();
  }

  #framed(): LogLine[] {
    const lines: LogLine[] = [];
    for (;;) {
      const skipped = Math.min(this.#skip, this.#pending.length);
      this.#skip -= skipped;
      this.#pending = this.#pending.subarray(skipped);
      if (this.#pending.length < headerBytes) return lines;
      const stream = this.#pending[0] ?? 0;
      const size = this.#pending.readUInt32BE(sizeOffset);
      if (stream > stderrStream || size > frameBytesMax || this.#pending.readUIntBE(1, sizeOffset - 1) !== 0) {
        this.#broken = true;
        return [...lines, ...this.#plain()];
      }
      const kept = Math.min(size, containerLogLineBytesMax);
      if (this.#pending.length < headerBytes + kept) return lines;
      const payload = this.#pending.subarray(headerBytes, headerBytes + kept);
      lines.push(lineOf(payload, stream === stderrStream ? 'E' : 'O'));
      this.#pending = this.#pending.subarray(headerBytes + kept);
      this.#skip = size - kept;
    }
  }

  #plain(): LogLine[] {
    const lines: LogLine[] = [];
    for (;;) {
      const at = this.#pending.indexOf(newline);
      const length = at < 0 && this.#pending.length >= containerLogLineBytesMax ? this.#pending.length - 1 : at;
      if (length < 0) return lines;
      lines.push(lineOf(this.#pending.subarray(0, Math.min(length, containerLogLineBytesMax)), 'O'));
      this.#pending = this.#pending.subarray(length + 1);
    }
  }
}

function lineOf(payload: Buffer, stream: 'O' | 'E'): LogLine {
  let end = payload.length;
  while (end > 0 && (payload[end - 1] === newline || payload[end - 1] === carriageReturn)) end--;
  const at = payload.subarray(0, stampBytesMax).indexOf(blank);
  const stampEnd = at < 0 ? Math.min(end, stampBytesMax) : at;
  const stamp = stampPattern.exec(payload.toString('latin1', 0, stampEnd));
  if (stamp === null) return { stream, stampMs: undefined, isFraction: false, text: oneLine(payload.subarray(0, end)) };
  return {
    stream,
    stampMs: Date.parse(stamp[0]),
    isFraction: stamp[1] !== undefined,
    text: oneLine(payload.subarray(Math.min(end, stampEnd + 1), end)),
  };
}

/** A message with newlines inside would be counted as several lines by who reads the file. */
function oneLine(text: Buffer): Buffer {
  if (!text.includes(newline)) return Buffer.from(text);
  const copy = Buffer.from(text);
  for (let at = copy.indexOf(newline); at >= 0; at = copy.indexOf(newline, at)) copy[at] = blank;
  return copy;
}
