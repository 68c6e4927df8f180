// Pieces of whole lines, cut at a time or counted from the end. Lines begin with their stamp, and stamps ascend.

type Pieces = AsyncIterable<string>;

/** Beyond it, ISO 8601 stamps get a sign and no longer sort as text. */
const stampMsMax = Date.UTC(9999, 11, 31);

/** A wall time as it stands in front of lines. */
export function stampOf(ms: number): string {
  return new Date(Math.min(ms, stampMsMax)).toISOString();
}

/** The lines stamped before `untilMs`; ends at the first one that is not. */
export async function* linesBefore(untilMs: number, pieces: Pieces): Pieces {
  const stamp = stampOf(untilMs);
  for await (const piece of pieces) {
    const lines = piece.split('\n');
    const end = lines.findIndex((line) => line !== '' && line.slice(0, stamp.length) >= stamp);
    if (end < 0) {
      yield piece;
      continue;
    }
    if (end > 0) yield `${lines.slice(0, end).join('\n')}\n`;
    return;
  }
}

/** The last `count` lines of what `read` gives. Reads twice, once to count, so that nothing is held. */
export async function* lastLines(count: number, read: () => Pieces): Pieces {
  let total = 0;
  for await (const piece of read()) total += lineCount(piece);
  let skip = Math.max(0, total - count);
  // What came while it was counted belongs to the next question.
  let left = Math.min(count, total);
  for await (const piece of read()) {
    const lines = piece.split('\n').filter((line, at, all) => line !== '' || at < all.length - 1);
    const kept = lines.slice(skip).slice(0, left);
    skip = Math.max(0, skip - lines.length);
    left -= kept.length;
    if (kept.length > 0) yield `${kept.join('\n')}\n`;
    if (left <= 0) return;
  }
}

function lineCount(piece: string): number {
  let count = 0;
  for (let at = piece.indexOf('\n'); at >= 0; at = piece.indexOf('\n', at + 1)) count++;
  return piece.endsWith('\n') || piece === '' ? count : count + 1;
}
