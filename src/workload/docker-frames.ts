// A module's log as Docker's multiplexed stream, which is what Azure's management API gives.
//
//   0        1  2  3  4        5  6  7  8
//   stream   0  0  0  length, big-endian  payload: one line with its newline
//   1 stdout, 2 stderr (Docker Engine API, "Attach to a container", stream format)
//
//   in:  2026-11-21T09:12:44.123Z O a line      the shim's stamp, O or E, the text
//   out: with `timestamps` the stamp and a blank stand before the text
//
// Stamps ascend, so the first line behind `untilMs` is the end. A line without a stamp is what was cut at a rotation:
// it belongs to the line before it and goes where that went.

export interface FrameOptions {
  readonly untilMs: number | undefined;
  readonly timestamps: boolean;
}

const linePattern = /^(\d{4}-\d\d-\d\dT[\d:.]+Z) ([OE]) ([\s\S]*)$/;
const headerBytes = 8;
const lengthOffset = 4;
const standardOutput = 1;
const standardError = 2;

/** `pieces` are whole lines. */
export async function* dockerFrames(
  pieces: AsyncIterable<string>,
  { untilMs, timestamps }: FrameOptions,
): AsyncIterable<Uint8Array> {
  const until = untilMs === undefined ? undefined : new Date(untilMs).toISOString();
  let stream = standardOutput;
  for await (const piece of pieces) {
    const frames: Buffer[] = [];
    for (const line of piece.split('\n').slice(0, -1)) {
      const [, stamp, letter, text = line] = linePattern.exec(line) ?? [];
      if (until !== undefined && stamp !== undefined && stamp > until) {
        yield Buffer.concat(frames);
        return;
      }
      if (letter !== undefined) stream = letter === 'E' ? standardError : standardOutput;
      frames.push(frame(stream, `${timestamps && stamp !== undefined ? `${stamp} ` : ''}${text}\n`));
    }
    yield Buffer.concat(frames);
  }
}

function frame(stream: number, text: string): Buffer {
  const length = Buffer.byteLength(text);
  const bytes = Buffer.alloc(headerBytes + length);
  bytes[0] = stream;
  bytes.writeUInt32BE(length, lengthOffset);
  bytes.write(text, headerBytes);
  return bytes;
}
