// Text that arrives in pieces, cut anew at the ends of its lines. Pure.
//
//   "a\nb", "c\nd"  →  "a\n", "bc\n", "d"
//
// A stream over a socket comes in pieces of the kernel's making. Whoever sets something before each line, or reads each
// line by itself, needs whole ones. What is held back is one line at most: whoever writes lines bounds them.

/** The same text in pieces that end with a line each; what has no end comes last. */
export async function* wholeLines(pieces: AsyncIterable<string>): AsyncGenerator<string, void, undefined> {
  let rest = '';
  for await (const piece of pieces) {
    const end = piece.lastIndexOf('\n') + 1;
    if (end > 0) yield rest + piece.slice(0, end);
    rest = end > 0 ? piece.slice(end) : rest + piece;
  }
  if (rest !== '') yield rest;
}

/** Each line by itself, without its end; empty ones are left out. */
export async function* linesOf(pieces: AsyncIterable<string>): AsyncGenerator<string, void, undefined> {
  for await (const lines of wholeLines(pieces)) yield* lines.split('\n').filter((line) => line !== '');
}
