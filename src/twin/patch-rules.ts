// What a reported-properties patch may hold (IoT Hub's twin rules), as a pure check.
//
// Keys: 1 to 1024 bytes, no control characters, no `.`, `$`, `#` or blank. Depth at most 10. Strings at most
// 4096 bytes. Numbers are safe integers or finite. The merged section's size is checked by its owner.

import type { JsonValue } from '../model/json.ts';
import { isJsonObject } from '../model/json.ts';
import { twinDepthMax, twinKeyBytesMax, twinTextBytesMax } from '../limits.ts';

export interface PatchProblem {
  readonly path: string;
  readonly reason: string;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what the rule forbids
const forbiddenInKey = /[\u0000-\u001f.$# ]/;

/** The first problem of `patch`, or undefined. `path` is the JSON path from the section's root. */
export function findPatchProblem(patch: JsonValue, path = '', depth = 0): PatchProblem | undefined {
  if (typeof patch === 'string' && Buffer.byteLength(patch) > twinTextBytesMax) return { path, reason: `a string is over ${twinTextBytesMax} bytes` };
  if (typeof patch === 'number' && !Number.isFinite(patch)) return { path, reason: 'a number is not finite' };
  if (Array.isArray(patch)) return firstProblem(patch.map((item, index) => [`${path}[${index}]`, item] as const), depth + 1);
  if (!isJsonObject(patch)) return undefined;
  if (depth > twinDepthMax) return { path, reason: `objects are nested deeper than ${twinDepthMax} levels` };
  for (const key of Object.keys(patch)) {
    const at = path === '' ? key : `${path}.${key}`;
    if (key === '' || Buffer.byteLength(key) > twinKeyBytesMax) return { path: at, reason: `a name has 1 to ${twinKeyBytesMax} bytes` };
    if (forbiddenInKey.test(key)) return { path: at, reason: "a name holds a blank, a control character, '.', '$' or '#'" };
  }
  return firstProblem(Object.entries(patch).map(([key, value]) => [path === '' ? key : `${path}.${key}`, value] as const), depth + 1);
}

function firstProblem(entries: readonly (readonly [string, JsonValue])[], depth: number): PatchProblem | undefined {
  for (const [path, value] of entries) {
    const problem = findPatchProblem(value, path, depth);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
