// What the agent must not forget between two lives: the deployment that is good, the one on trial, and the one that
// was found bad. One document, so that each change of it is one write, whole or not at all.
//
//   { "good": {source}, "trial": { "source": {…}, "phase": "verifying"|"reverting", "failing": [names],
//     "boots": 1, "bootId": "…", "verdict": "…" }, "refused": { "source": …, "reason": "…", "atMs": … }, "local": {source} }
//
//   source = { "origin": "hub"|"local", "version": n, "properties": {…$edgeAgent's…}, "twins"?: { "<module>": {…} },
//              "files"?: { "<module>": { "directory": "…", "file"?: "…" } } }
//
// Earlier versions kept the good deployment's properties alone, under a key of their own: they are read once more.

import { agentBootsMax } from '../limits.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../model/json.ts';
import { jsonEqual } from '../model/twin.ts';
import type { InstalledFiles } from './orders.ts';
import type { AgentMemory } from './ports.ts';

/** Desired properties that this site gives a module, over the hub's of that version. */
export interface LocalSection {
  readonly properties: JsonObject;
  readonly overVersion: number;
}

export interface Source {
  readonly origin: 'hub' | 'local';
  /** Of the hub's `$edgeAgent`: its own, or the one that a local deployment stands over. */
  readonly version: number;
  readonly properties: JsonObject;
  /** Only of a local one: the other modules' desired properties. */
  readonly twins?: Readonly<Record<string, LocalSection>>;
  /** Where the files of its modules are, by module name: found once, so that a start waits for nothing. */
  readonly files?: Readonly<Record<string, InstalledFiles>>;
}

export interface Trial {
  readonly source: Source;
  readonly phase: 'verifying' | 'reverting';
  /** Names of the modules that were failing before it: they cannot fail it. */
  readonly failing: readonly string[];
  /** Boots of the machine since it began, the first one included. */
  readonly boots: number;
  readonly bootId: string;
  /** Why it is being reverted. */
  readonly verdict?: string;
}

export interface Refused {
  readonly source: Source;
  readonly reason: string;
  readonly atMs: number;
}

export interface RolloutRecord {
  readonly good?: Source;
  readonly trial?: Trial;
  readonly refused?: Refused;
  readonly local?: Source;
}

const recordKey = 'agent:rollout';
const earlierKey = 'agent:last-good-deployment';

export async function recallRollout(memory: AgentMemory): Promise<RolloutRecord> {
  const record = objectOf(await memory.state(recordKey));
  if (record !== undefined) return readRecord(record);
  const properties = objectOf(await memory.state(earlierKey));
  return properties === undefined ? {} : { good: { origin: 'hub', version: 0, properties } };
}

/** Desired properties that the deployment in force brought for its modules and routes: they hold from the very start. */
export async function recallLocalTwins(memory: AgentMemory): Promise<Readonly<Record<string, LocalSection>>> {
  const { trial, good } = await recallRollout(memory);
  return (trial?.phase === 'reverting' ? good : (trial?.source ?? good))?.twins ?? {};
}

export function saveRollout(memory: AgentMemory, record: RolloutRecord): Promise<void> {
  return memory.saveState(recordKey, JSON.stringify(record));
}

/** The same wishes, whoever had them. */
export function sameContent(a: Source | undefined, b: Source | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a === b || (jsonEqual(a.properties, b.properties) && jsonEqual(twinsJson(a), twinsJson(b)));
}

/** The same wishes, asked for at the same occasion. */
export function sameSource(a: Source | undefined, b: Source | undefined): boolean {
  return sameContent(a, b) && a?.version === b?.version && a?.origin === b?.origin;
}

/** With what was found of its files; the source itself when that is known. */
export function withFiles(source: Source, files: ReadonlyMap<string, InstalledFiles>): Source {
  const isNews = [...files].some(([name, { directory, file }]) => {
    const known = source.files?.[name];
    return known?.directory !== directory || known.file !== file;
  });
  return isNews ? { ...source, files: { ...source.files, ...Object.fromEntries(files) } } : source;
}

/** Without the sources that mean nothing to this version of weir. */
export function onlyReadable(record: RolloutRecord, isReadable: (source: Source) => boolean): RolloutRecord {
  const { good, trial, local, ...rest } = record;
  return {
    ...rest,
    ...(good !== undefined && isReadable(good) ? { good } : {}),
    ...(trial !== undefined && isReadable(trial.source) ? { trial } : {}),
    ...(local !== undefined && isReadable(local) ? { local } : {}),
  };
}

/** A deployment that takes the machine down with it is given up after a few boots. The record itself when nothing changes. */
export function afterBoot(record: RolloutRecord, bootId: string, isReturnable: boolean): RolloutRecord {
  const { trial } = record;
  if (trial === undefined || trial.phase === 'reverting' || trial.bootId === bootId) return record;
  const boots = trial.boots + 1;
  if (boots <= agentBootsMax || !isReturnable) return { ...record, trial: { ...trial, boots, bootId } };
  const verdict = `the machine was started ${boots - 1} times while it was verified`;
  return { ...record, trial: { ...trial, boots, bootId, phase: 'reverting', verdict } };
}

function twinsJson({ twins = {} }: Source): JsonObject {
  return Object.fromEntries(Object.entries(twins).map(([name, section]) => [name, { ...section }]));
}

function objectOf(text: string | undefined): JsonObject | undefined {
  const parsed = text === undefined ? undefined : parseJson(text);
  return parsed?.ok === true && isJsonObject(parsed.value) ? parsed.value : undefined;
}

// The store keeps what was written or nothing; these readers keep a document of another version from doing harm.

function readRecord(record: JsonObject): RolloutRecord {
  const good = readSource(record['good']);
  const local = readSource(record['local']);
  const trial = readTrial(record['trial']);
  const refused = readRefused(record['refused']);
  return {
    ...(good === undefined ? {} : { good }),
    ...(trial === undefined ? {} : { trial }),
    ...(refused === undefined ? {} : { refused }),
    ...(local === undefined ? {} : { local }),
  };
}

function readSource(value: JsonValue | undefined): Source | undefined {
  if (!isJsonObject(value) || !isJsonObject(value['properties'])) return undefined;
  const twins = isJsonObject(value['twins']) ? readTwins(value['twins']) : undefined;
  const files = isJsonObject(value['files']) ? readFiles(value['files']) : undefined;
  return {
    origin: value['origin'] === 'local' ? 'local' : 'hub',
    version: numberOf(value['version']),
    properties: value['properties'],
    ...(twins === undefined ? {} : { twins }),
    ...(files === undefined ? {} : { files }),
  };
}

function readFiles(files: JsonObject): Readonly<Record<string, InstalledFiles>> {
  return Object.fromEntries(
    Object.entries(files).flatMap(([name, found]) => {
      const { directory, file } = isJsonObject(found) ? found : {};
      if (typeof directory !== 'string') return [];
      return [[name, { directory, ...(typeof file === 'string' ? { file } : {}) }]];
    }),
  );
}

function readTwins(twins: JsonObject): Readonly<Record<string, LocalSection>> {
  return Object.fromEntries(
    Object.entries(twins).flatMap(([name, section]) =>
      isJsonObject(section) && isJsonObject(section['properties'])
        ? [[name, { properties: section['properties'], overVersion: numberOf(section['overVersion']) }]]
        : [],
    ),
  );
}

function readTrial(value: JsonValue | undefined): Trial | undefined {
  const source = isJsonObject(value) ? readSource(value['source']) : undefined;
  if (!isJsonObject(value) || source === undefined) return undefined;
  const { failing, bootId, verdict } = value;
  return {
    source,
    phase: value['phase'] === 'reverting' ? 'reverting' : 'verifying',
    failing: Array.isArray(failing) ? failing.filter((name): name is string => typeof name === 'string') : [],
    boots: numberOf(value['boots']),
    bootId: typeof bootId === 'string' ? bootId : '',
    ...(typeof verdict === 'string' ? { verdict } : {}),
  };
}

function readRefused(value: JsonValue | undefined): Refused | undefined {
  const source = isJsonObject(value) ? readSource(value['source']) : undefined;
  if (!isJsonObject(value) || source === undefined) return undefined;
  const reason = value['reason'];
  return { source, reason: typeof reason === 'string' ? reason : '', atMs: numberOf(value['atMs']) };
}

function numberOf(value: JsonValue | undefined): number {
  return typeof value === 'number' ? value : 0;
}
