// A twin as the JSON text that the store keeps: `{"twin": {"desired": …, "reported": …}, "seen": [true]}`. `seen` is
// which desired properties their owner may have seen last; true stands for those in the twin.
//
// Reading checks the shape, because the text has been on a disk: what does not fit is answered as undefined, and
// its owner fetches the twin anew.

import { isJsonObject, type JsonValue, parseJson } from '../model/json.ts';
import type { Twin, TwinSection } from '../model/twin.ts';

interface TwinRecord {
  readonly key: string;
  readonly twin: Twin;
  readonly seen?: readonly TwinSection[] | undefined;
}

export function twinDocument({ twin, seen = [] }: TwinRecord): string {
  if (seen.length === 0) return JSON.stringify({ twin });
  return JSON.stringify({ twin, seen: seen.map((section) => (section === twin.desired ? true : section)) });
}

export function readTwinDocument(key: string, document: string): TwinRecord | undefined {
  const parsed = parseJson(document);
  if (!parsed.ok || !isJsonObject(parsed.value)) return undefined;
  const { twin, seen = [] } = parsed.value;
  if (!isJsonObject(twin) || !Array.isArray(seen)) return undefined;
  const desired = readSection(twin['desired']);
  const reported = readSection(twin['reported']);
  if (desired === undefined || reported === undefined) return undefined;
  const sections = seen.map((value: JsonValue) => (value === true ? desired : readSection(value)));
  const known = sections.filter((section) => section !== undefined);
  return { key, twin: { desired, reported }, ...(known.length === 0 ? {} : { seen: known }) };
}

function readSection(value: JsonValue | undefined): TwinSection | undefined {
  if (!isJsonObject(value)) return undefined;
  const { properties, version } = value;
  return isJsonObject(properties) && typeof version === 'number' ? { properties, version } : undefined;
}
