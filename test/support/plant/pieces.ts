// Sends bytes late and in pieces, on the plant's clock.

import type { Clock } from '../../../src/platform/clock.ts';

const pieceGapMs = 3;

export function sendInPieces(
  clock: Clock,
  { bytes, delayMs, splitBytes }: { readonly bytes: Buffer; readonly delayMs: number; readonly splitBytes: number },
  send: (piece: Buffer) => void,
): void {
  const step = splitBytes > 0 ? splitBytes : bytes.length;
  const next = (start: number): void => {
    send(bytes.subarray(start, start + step));
    if (start + step < bytes.length) clock.setTimer(pieceGapMs, () => next(start + step), { background: true });
  };
  if (delayMs > 0) clock.setTimer(delayMs, () => next(0), { background: true });
  else next(0);
}
