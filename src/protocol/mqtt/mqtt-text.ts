// UTF-8 text of MQTT, judged where it lies: well-formed, no surrogates, no U+0000 [MQTT-1.5.4-1, -2].
//
// Nearly all text on a wire is ASCII: a loop over the bytes decides it without a call out and without an object.

import { type Buffer, isUtf8 } from 'node:buffer';

const asciiMax = 0x7f;

/** Whether `buffer[from..to)` is text that MQTT allows. */
export function isTextAt(buffer: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    const byte = buffer[at] as number;
    if (byte > asciiMax) return isOtherText(buffer, at, to);
    if (byte === 0) return false;
  }
  return true;
}

function isOtherText(buffer: Buffer, from: number, to: number): boolean {
  const bytes = buffer.subarray(from, to);
  return isUtf8(bytes) && !bytes.includes(0);
}
