// createOptions: Docker's ContainerCreate as text, cut by tools into pieces of 512 characters.
//
// `createOptions`, `createOptions01`, `createOptions02` … are joined in the order of their numbers before they
// are parsed. A gap, a missing first piece and `createOptions00` are errors. Field names compare without case.

import { isJsonObject, type JsonObject, parseJson } from '../model/json.ts';

export type CreateOptions =
  | { readonly ok: true; readonly value: JsonObject }
  | { readonly ok: false; readonly reason: string };

const fieldPattern = /^createoptions(\d{2})?$/i;

export function readCreateOptions(settings: JsonObject): CreateOptions {
  const pieces = new Map<number, string>();
  for (const [key, value] of Object.entries(settings)) {
    const match = fieldPattern.exec(key);
    if (match === null) continue;
    const number = match[1] === undefined ? 0 : Number(match[1]);
    if (match[1] === '00') return { ok: false, reason: `${key} is not a piece: numbering starts at 01` };
    if (isJsonObject(value) && number === 0) return { ok: true, value };
    if (value === null) continue;
    if (typeof value !== 'string') return { ok: false, reason: `${key} must be text that holds JSON` };
    pieces.set(number, value);
  }
  if (pieces.size === 0) return { ok: true, value: {} };
  let text = '';
  for (let number = 0; number < pieces.size; number += 1) {
    const piece = pieces.get(number);
    if (piece === undefined)
      return {
        ok: false,
        reason:
          number === 0
            ? 'the first, unnumbered piece is missing'
            : `piece ${String(number).padStart(2, '0')} is missing`,
      };
    text += piece;
  }
  if (text.trim() === '' || text.trim() === 'null') return { ok: true, value: {} };
  const parsed = parseJson(text);
  if (!parsed.ok) return { ok: false, reason: `it is not JSON: ${parsed.reason}` };
  return isJsonObject(parsed.value)
    ? { ok: true, value: parsed.value }
    : { ok: false, reason: 'it must be a JSON object' };
}

const pieceCharacters = 512;

/** As tools write them: one text, cut into numbered pieces where it is long. */
export function createOptionsPieces(options: JsonObject): JsonObject {
  const text = JSON.stringify(options);
  const pieces: Record<string, string> = { createOptions: text.slice(0, pieceCharacters) };
  for (let number = 1; number * pieceCharacters < text.length; number += 1)
    pieces[`createOptions${String(number).padStart(2, '0')}`] = text.slice(
      number * pieceCharacters,
      (number + 1) * pieceCharacters,
    );
  return pieces;
}
