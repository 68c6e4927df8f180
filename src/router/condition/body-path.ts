// The path of a value in a JSON body, `a.b[0].c`, and the way along it. Pure.
//
// As in IoT Edge: names between dots, each with an index or several behind it; no empty name, no quotes, no ranges.
// A name is every run of characters that a property's name may have, but for the dot; one of digits only is none.

import { isJsonObject, type JsonValue } from '../../model/json.ts';

/** Names and indices, in turn. */
export type BodyPath = readonly (string | number)[];

const segmentPattern = /^([^()<>@,;:\\"/[\]?={}.\s]+)((?:\[[0-9]+\])*)$/;
const digitsPattern = /^[0-9]+$/;

/** Undefined when the text is no path. */
export function parseBodyPath(text: string): BodyPath | undefined {
  const path: (string | number)[] = [];
  for (const segment of text.split('.')) {
    const [, name, indices = ''] = segmentPattern.exec(segment) ?? [];
    if (name === undefined || digitsPattern.test(name)) return undefined;
    path.push(name);
    for (const [, digits] of indices.matchAll(/\[([0-9]+)\]/g)) path.push(Number(digits));
  }
  return path;
}

/** What lies at the path; undefined when nothing does. Names are case-sensitive. */
export function valueAt(root: JsonValue, path: BodyPath): JsonValue | undefined {
  let value: JsonValue | undefined = root;
  for (const step of path) {
    if (typeof step === 'number') {
      if (!Array.isArray(value)) return undefined;
      value = value[step] as JsonValue | undefined;
    } else {
      if (!isJsonObject(value) || !Object.hasOwn(value, step)) return undefined;
      value = value[step];
    }
    if (value === undefined) return undefined;
  }
  return value;
}
