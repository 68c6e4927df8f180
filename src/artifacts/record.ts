// The record of an installed artefact: what was put where, so that damage is noticed before a module is started on it.
//
//   <sha256>.installed.json   {"version": 1, "url": "…", "bytes": 123, "file": "app.js"?, "nodes": [[path, type, bytes, mode, mtime], …]}
//   type: "f" file, "l" symbolic link; directories are what their files need.
//
// The check looks at sizes, modes and times of change, not at contents: it has to be cheap enough for every start.
// It notices what was removed, cut off, replaced or edited; a bit that a card lost is found by who reads it.

import { isJsonObject, type JsonValue, parseJson } from '../model/json.ts';
import type { ArtifactPorts } from './ports.ts';

export type RecordedNode = readonly [path: string, type: 'f' | 'l', bytes: number, mode: number, modifiedMs: number];

export interface ArtifactRecord {
  readonly url: string;
  readonly bytes: number;
  /** The single file, relative; undefined for an archive. */
  readonly file: string | undefined;
  readonly nodes: readonly RecordedNode[];
}

const recordVersion = 1;
const nodeFields = 5;

export function formatRecord({ url, bytes, file, nodes }: ArtifactRecord): string {
  return JSON.stringify({ version: recordVersion, url, bytes, ...(file === undefined ? {} : { file }), nodes });
}

/** Undefined when it is no record of this version. */
export function parseRecord(text: string): ArtifactRecord | undefined {
  const parsed = parseJson(text);
  if (!parsed.ok || !isJsonObject(parsed.value)) return undefined;
  const { version, url, bytes, file, nodes } = parsed.value;
  if (version !== recordVersion || typeof url !== 'string' || typeof bytes !== 'number') return undefined;
  if (!Array.isArray(nodes) || !nodes.every(isNode)) return undefined;
  if (file !== undefined && typeof file !== 'string') return undefined;
  return { url, bytes, file, nodes };
}

function isNode(value: JsonValue): value is JsonValue & RecordedNode {
  if (!Array.isArray(value) || value.length !== nodeFields) return false;
  const [path, type, ...numbers] = value;
  return typeof path === 'string' && (type === 'f' || type === 'l') && numbers.every((one) => typeof one === 'number');
}

type Trees = Pick<ArtifactPorts['trees'], 'nodeFacts'>;

/** What of the record is not there any more as it was, the first one found; undefined when all is. */
export async function damageOf(record: ArtifactRecord, directory: string, trees: Trees): Promise<string | undefined> {
  for (const node of record.nodes) {
    const [path] = node;
    const found = await recordNode(path, directory, trees);
    if (found === undefined) return `${path} is missing`;
    if (found.some((value, at) => value !== node[at])) return `${path} was changed`;
  }
  return undefined;
}

/** As it is on the disk now; undefined when it is not, or is neither file nor link. */
export async function recordNode(path: string, directory: string, trees: Trees): Promise<RecordedNode | undefined> {
  const facts = await trees.nodeFacts('artifact:check', `${directory}/${path}`);
  if (facts?.type === 'file') return [path, 'f', facts.bytes, facts.mode, facts.modifiedMs];
  return facts?.type === 'symbolic link' ? [path, 'l', facts.bytes, facts.mode, facts.modifiedMs] : undefined;
}
