// The deployment manifest as Azure writes it: envelope and content checked, nothing changed.
//
//   { "modulesContent": { "$edgeAgent": { "properties.desired": {…} }, "$edgeHub": {…}, "<module>": {…} } }
//   or the same inside { "content": … }, as exported by Azure's tools.
//
// Pure. All faults are collected with their JSON paths and the mend, so that a file is mended in one go; the
// first `problemsMax` are kept, all are counted. What the checks do not know (members of later schema
// versions, module types of other runtimes) passes unchanged: the gateway decides what it can run.
// The text of a route is only looked at for its outer form; the gateway's router has the grammar and isolates a
// bad route.
//
// The two system modules' rules are in agent.ts and hub.ts.

import { hubModulesPerDeviceMax, problemsMax, twinSectionBytesMax } from '../../limits.ts';
import { edgeAgentId, edgeHubId, isValidId } from '../../model/address.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../../model/json.ts';
import type { Problem } from '../../model/problem.ts';
import { mergePatch } from '../../model/twin.ts';
import { memberPath, twinBytes, twinProblems } from '../../model/twin-rules.ts';
import { checkAgent } from './agent.ts';
import { checkHub } from './hub.ts';

export interface Manifest {
  /** Desired properties by module id; holds $edgeAgent and $edgeHub. */
  readonly desired: ReadonlyMap<string, JsonObject>;
  /** Every module the device is to have, without the system modules. */
  readonly moduleIds: readonly string[];
}

export type ManifestResult =
  | { readonly ok: true; readonly manifest: Manifest }
  | { readonly ok: false; readonly problems: readonly Problem[]; readonly total: number };

/** Collects faults; keeps the first `problemsMax` and counts all. */
export class ProblemList {
  readonly kept: Problem[] = [];
  total = 0;

  add(path: string, message: string): void {
    this.total += 1;
    if (this.kept.length < problemsMax) this.kept.push({ path, message });
  }
}

const desiredKey = 'properties.desired';

export function parseManifest(document: JsonValue): ManifestResult {
  const problems = new ProblemList();
  const found = modulesContent(document, problems);
  if (found === undefined) return { ok: false, problems: problems.kept, total: problems.total };
  const desired = readSections(found.content, found.path, problems);
  for (const moduleId of [edgeAgentId, edgeHubId]) {
    if (!(moduleId in found.content)) {
      problems.add(
        found.path,
        `${moduleId} is missing. A manifest for a device holds both ${edgeAgentId} and ${edgeHubId}.`,
      );
    }
  }
  const agent = desired.get(edgeAgentId);
  const hub = desired.get(edgeHubId);
  const listed = agent === undefined ? [] : checkAgent(agent, { path: sectionPath(found.path, edgeAgentId), problems });
  if (hub !== undefined) checkHub(hub, { path: sectionPath(found.path, edgeHubId), problems });
  const moduleIds = [...new Set([...listed, ...desired.keys()])].filter((id) => id !== edgeAgentId && id !== edgeHubId);
  const modulesMax = hubModulesPerDeviceMax - 2;
  if (moduleIds.length > modulesMax)
    problems.add(found.path, `${moduleIds.length} modules are over the limit of ${modulesMax} a device. Remove some.`);
  if (problems.total > 0) return { ok: false, problems: problems.kept, total: problems.total };
  return { ok: true, manifest: { desired, moduleIds } };
}

function modulesContent(
  document: JsonValue,
  problems: ProblemList,
): { readonly content: JsonObject; readonly path: string } | undefined {
  if (!isJsonObject(document)) {
    problems.add('$', 'a manifest is a JSON object. Start it with {"modulesContent": …}.');
    return undefined;
  }
  const wrapped = document['modulesContent'] === undefined && isJsonObject(document['content']);
  const holder = wrapped ? (document['content'] as JsonObject) : document;
  const holderPath = wrapped ? '$.content' : '$';
  const content = holder['modulesContent'];
  if (isJsonObject(content)) return { content, path: `${holderPath}.modulesContent` };
  if (content !== undefined) {
    problems.add(`${holderPath}.modulesContent`, 'it must be an object with one member a module.');
  } else if ('deviceContent' in holder || 'moduleContent' in holder) {
    problems.add(
      holderPath,
      'this is a device or module configuration, not an edge manifest. An edge manifest has modulesContent.',
    );
  } else if ('modules' in holder || 'systemModules' in holder) {
    problems.add(
      holderPath,
      'these are the desired properties alone. Put them into {"modulesContent": {"$edgeAgent": {"properties.desired": …}}}.',
    );
  } else {
    problems.add(
      holderPath,
      'modulesContent is missing. The manifest holds {"modulesContent": {"$edgeAgent": …, "$edgeHub": …}}.',
    );
  }
  return undefined;
}

function sectionPath(contentPath: string, moduleId: string): string {
  return memberPath(memberPath(contentPath, moduleId), desiredKey);
}

function readSections(content: JsonObject, contentPath: string, problems: ProblemList): Map<string, JsonObject> {
  const desired = new Map<string, JsonObject>();
  for (const [moduleId, module] of Object.entries(content)) {
    const path = memberPath(contentPath, moduleId);
    const section = readSection(moduleId, module, { path, problems });
    if (section !== undefined) desired.set(moduleId, section);
  }
  return desired;
}

function readSection(
  moduleId: string,
  module: JsonValue,
  { path, problems }: { readonly path: string; readonly problems: ProblemList },
): JsonObject | undefined {
  const before = problems.total;
  const isSystem = moduleId === edgeAgentId || moduleId === edgeHubId;
  if (!isValidId(moduleId) || (moduleId.startsWith('$') && !isSystem)) {
    problems.add(
      path,
      `${JSON.stringify(moduleId)} cannot be a module id: use 1 to 128 letters, digits, '-' or '_'; '$' begins system modules only.`,
    );
  }
  if (!isJsonObject(module)) {
    problems.add(path, `it must be an object {"${desiredKey}": {…}}.`);
    return undefined;
  }
  for (const key of Object.keys(module)) {
    if (key === desiredKey) continue;
    problems.add(
      memberPath(path, key),
      key.startsWith(`${desiredKey}.`)
        ? `dotted keys belong to layered deployments. For one device write the whole section under "${desiredKey}".`
        : `unknown member. Only "${desiredKey}" is allowed here.`,
    );
  }
  const section = module[desiredKey];
  const inner = memberPath(path, desiredKey);
  if (!isJsonObject(section)) {
    if (section !== undefined || problems.total === before)
      problems.add(inner, 'it must be an object with the desired properties.');
    return undefined;
  }
  for (const problem of twinProblems(section, inner)) problems.add(problem.path, problem.message);
  const bytes = twinBytes(mergePatch({}, section));
  if (bytes > twinSectionBytesMax)
    problems.add(
      inner,
      `it has ${bytes} bytes, a twin section holds ${twinSectionBytesMax}. Move large values out of the manifest.`,
    );
  return section;
}
