// A manifest as `weir deploy` hands it over: the envelope opened, every section checked, all faults at once.
//
//   { "modulesContent": { "$edgeAgent": { "properties.desired": {…} }, "$edgeHub"?: {…}, "<module>"?: {…} } }
//   or the same inside { "content": … }, as Azure's tools export it
//
// Paths begin at the document: `modulesContent.$edgeAgent["properties.desired"].modules.pump.settings`.

import { twinSectionBytesMax } from '../limits.ts';
import { edgeAgentId, edgeHubId } from '../model/address.ts';
import { isJsonObject, type JsonObject } from '../model/json.ts';
import type { Problem } from '../model/problem.ts';
import { twinProblems, twinSizeProblem } from '../model/twin-rules.ts';
import { type Deployment, type DeploymentContext, parseDeployment } from './deployment.ts';
import { parseRouting } from './routing.ts';

export interface LocalManifest {
  readonly properties: JsonObject;
  readonly deployment: Deployment;
  /** Desired properties of everybody but `$edgeAgent`. */
  readonly twins: ReadonlyMap<string, JsonObject>;
}

export type ReadManifest =
  | { readonly ok: true; readonly manifest: LocalManifest }
  | { readonly ok: false; readonly problems: readonly Problem[] };

const desiredKey = 'properties.desired';

export function readManifest(document: JsonObject, context: DeploymentContext): ReadManifest {
  const envelope = isJsonObject(document['content']) ? document['content'] : document;
  const root = envelope === document ? 'modulesContent' : 'content.modulesContent';
  const content = envelope['modulesContent'];
  if (!isJsonObject(content))
    return {
      ok: false,
      problems: [
        { path: root, message: 'this is no deployment manifest: an object with one member a module is expected' },
      ],
    };
  const problems: Problem[] = [];
  const twins = new Map<string, JsonObject>();
  for (const [moduleId, section] of Object.entries(content)) {
    const desired = isJsonObject(section) ? section[desiredKey] : undefined;
    const path = `${root}.${moduleId}["${desiredKey}"]`;
    if (isJsonObject(desired)) twins.set(moduleId, desired);
    else problems.push({ path, message: sectionFault(section) });
  }
  const properties = twins.get(edgeAgentId);
  twins.delete(edgeAgentId);
  const at =
    (moduleId: string) =>
    (problem: Problem): Problem => {
      const path = `${root}.${moduleId}["${desiredKey}"]`;
      return { ...problem, path: problem.path === '' ? path : `${path}.${problem.path}` };
    };
  if (properties === undefined) {
    if (!(edgeAgentId in content))
      problems.push({ path: root, message: `${edgeAgentId} is missing: it says which modules run` });
    return { ok: false, problems };
  }
  const parsed = parseDeployment(properties, context);
  if (!parsed.ok) problems.push(...parsed.problems.map(at(edgeAgentId)));
  for (const [moduleId, desired] of twins)
    problems.push(...sectionProblems(moduleId, desired, parsed.ok ? parsed.deployment : undefined).map(at(moduleId)));
  return parsed.ok && problems.length === 0
    ? { ok: true, manifest: { properties, deployment: parsed.deployment, twins } }
    : { ok: false, problems };
}

function sectionFault(section: unknown): string {
  const isLayered =
    typeof section === 'object' &&
    section !== null &&
    Object.keys(section).some((key) => key.startsWith(`${desiredKey}.`));
  return isLayered
    ? 'this is layered content, which a hub merges over a base; write the whole properties.desired here'
    : 'an object is expected';
}

function sectionProblems(
  moduleId: string,
  desired: JsonObject,
  deployment: Deployment | undefined,
): readonly Problem[] {
  if (moduleId === edgeHubId) {
    const routing = parseRouting(desired);
    return routing.problems;
  }
  const size = twinSizeProblem(desired, '$', twinSectionBytesMax);
  const faults = [...twinProblems(desired, '$'), ...(size === undefined ? [] : [size])].map(({ path, message }) => ({
    path: path.replace(/^\$\.?/, ''),
    message,
  }));
  const isDeployed = deployment === undefined || deployment.modules.some(({ name }) => name === moduleId);
  return isDeployed
    ? faults
    : [...faults, { path: '', message: `${moduleId} is not among the modules of ${edgeAgentId}` }];
}
