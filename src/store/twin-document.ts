// A twin as the JSON text that the store keeps: `{"twin": {"desired": …, "reported": …}}`.
//
// Reading checks the shape, because the text has been on a disk: what does not fit is answered as undefined, and
// its owner fetches the twin anew.

import { isJsonObject, type JsonValue, parseJson } from '../model/json.ts';
import type { Twin, TwinSection } from '../model/twin.ts';

interface TwinRecord {
  readonly key: string;
  readonly twin: Twin;
}

export function twinDocument({ twin }: TwinRecord): string {
  return JSON.stringify({ twin });
}

export function readTwinDocument(key: string, document: string): TwinRecord | undefined {
  const parsed = parseJson(document);
  if (!parsed.ok || !isJsonObject(parsed.value)) return undefined;
  const { twin } = parsed.value;
  if (!isJsonObject(twin)) return undefined;
  const desired = readSection(twin['desired']);
  const reported = readSection(twin['reported']);
  if (desired === undefined || reported === undefined) return undefined;
  return { key, twin: { desired, reported } };
}

function readSection(value: JsonValue | undefined): TwinSection | undefined {
  if (!isJsonObject(value)) return undefined;
  const { properties, version } = value;
  return isJsonObject(properties) && typeof version === 'number' ? { properties, version } : undefined;
}
