// The rules of `$edgeAgent`'s desired properties: runtime, system modules, modules.
//
// Enumerations compare without case and unknown members pass, as Azure's agent does it. Only type `docker` must
// name an image; other types are the gateway's own (built-in modules, plain executables) and pass as they are.
// createOptions may be cut into createOptions, createOptions01, createOptions02 …: the pieces must be complete,
// and together be JSON.

import { edgeAgentId, edgeHubId, isValidId } from '../../model/address.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../../model/json.ts';
import { memberPath } from '../../model/twin-rules.ts';
import type { ProblemList } from './manifest.ts';

interface Place {
  readonly path: string;
  readonly problems: ProblemList;
}

const schemaVersions = ['1.0', '1.1'];
const statuses = ['running', 'stopped'];
const restartPolicies = ['never', 'on-failure', 'on-unhealthy', 'always'];
const pullPolicies = ['on-create', 'never'];
const startupOrderMax = 0xffffffff;
const createOptionsPieces = 100;

/** Checks the section and returns the ids of the modules it lists. */
export function checkAgent(desired: JsonObject, place: Place): readonly string[] {
  const version = desired['schemaVersion'];
  if (
    typeof version !== 'string' ||
    !schemaVersions.some((known) => version === known || version.startsWith(`${known}.`))
  ) {
    place.problems.add(
      memberPath(place.path, 'schemaVersion'),
      `it must be one of ${schemaVersions.join(', ')}, as text.`,
    );
  }
  checkRuntime(desired['runtime'], at(place, 'runtime'));
  checkSystemModules(desired['systemModules'], at(place, 'systemModules'));
  const modules = desired['modules'];
  if (modules === undefined) return [];
  if (!isJsonObject(modules)) {
    place.problems.add(
      memberPath(place.path, 'modules'),
      'it must be an object with one member a module. Leave it out when there are none.',
    );
    return [];
  }
  const inside = at(place, 'modules');
  for (const [moduleId, module] of Object.entries(modules)) {
    if (!isValidId(moduleId) || moduleId.startsWith('$')) {
      inside.problems.add(
        memberPath(inside.path, moduleId),
        `${JSON.stringify(moduleId)} cannot be a module id: use 1 to 128 letters, digits, '-' or '_'.`,
      );
    }
    checkModule(module, at(inside, moduleId));
  }
  return Object.keys(modules).filter((moduleId) => isValidId(moduleId));
}

function checkRuntime(runtime: JsonValue | undefined, { path, problems }: Place): void {
  if (!isJsonObject(runtime)) {
    problems.add(path, 'it must be an object such as {"type": "docker", "settings": {}}.');
    return;
  }
  if (typeof runtime['type'] !== 'string' || runtime['type'] === '')
    problems.add(memberPath(path, 'type'), 'it must be a text such as "docker".');
  const settings = runtime['settings'];
  if (settings !== undefined && !isJsonObject(settings))
    problems.add(memberPath(path, 'settings'), 'it must be an object.');
  const credentials = isJsonObject(settings) ? settings['registryCredentials'] : undefined;
  if (!isJsonObject(credentials)) return;
  for (const [name, entry] of Object.entries(credentials)) {
    const entryPath = memberPath(memberPath(memberPath(path, 'settings'), 'registryCredentials'), name);
    for (const field of ['address', 'username', 'password']) {
      if (!isJsonObject(entry) || typeof entry[field] !== 'string')
        problems.add(memberPath(entryPath, field), 'it must be a text.');
    }
  }
}

function checkSystemModules(systemModules: JsonValue | undefined, place: Place): void {
  if (!isJsonObject(systemModules)) {
    place.problems.add(
      place.path,
      `it must be an object with edgeAgent and edgeHub (for ${edgeAgentId} and ${edgeHubId}).`,
    );
    return;
  }
  for (const name of ['edgeAgent', 'edgeHub']) {
    if (isJsonObject(systemModules[name])) checkModule(systemModules[name], at(place, name));
    else
      place.problems.add(
        memberPath(place.path, name),
        'it must be an object such as {"type": "docker", "settings": {"image": "…"}}.',
      );
  }
  for (const name of Object.keys(systemModules)) {
    if (name !== 'edgeAgent' && name !== 'edgeHub') {
      place.problems.add(
        memberPath(place.path, name),
        'only edgeAgent and edgeHub are system modules. Put it under "modules".',
      );
    }
  }
}

function checkModule(module: JsonValue | undefined, place: Place): void {
  if (!isJsonObject(module)) {
    place.problems.add(place.path, 'it must be an object such as {"type": "docker", "settings": {"image": "…"}}.');
    return;
  }
  if (typeof module['type'] !== 'string' || module['type'] === '')
    place.problems.add(memberPath(place.path, 'type'), 'it must be a text such as "docker".');
  checkChoice(module['status'], statuses, at(place, 'status'));
  checkChoice(module['restartPolicy'], restartPolicies, at(place, 'restartPolicy'));
  checkChoice(module['imagePullPolicy'], pullPolicies, at(place, 'imagePullPolicy'));
  const order = module['startupOrder'];
  if (
    order !== undefined &&
    order !== null &&
    !(Number.isInteger(order) && Number(order) >= 0 && Number(order) <= startupOrderMax)
  ) {
    place.problems.add(
      memberPath(place.path, 'startupOrder'),
      `it must be a whole number from 0 to ${startupOrderMax}.`,
    );
  }
  checkEnv(module['env'], at(place, 'env'));
  checkSettings(module['settings'], at(place, 'settings'), {
    needsImage: String(module['type']).toLowerCase() === 'docker',
  });
}

function checkChoice(value: JsonValue | undefined, allowed: readonly string[], { path, problems }: Place): void {
  if (value === undefined || value === null) return;
  if (typeof value !== 'string' || !allowed.includes(value.toLowerCase()))
    problems.add(path, `it must be one of ${allowed.join(', ')}.`);
}

function checkEnv(env: JsonValue | undefined, { path, problems }: Place): void {
  if (env === undefined || env === null) return;
  if (!isJsonObject(env)) {
    problems.add(path, 'it must be an object such as {"NAME": {"value": "text"}}.');
    return;
  }
  for (const [name, entry] of Object.entries(env)) {
    const value = isJsonObject(entry) ? entry['value'] : undefined;
    if (!['string', 'number', 'boolean'].includes(typeof value)) {
      problems.add(memberPath(path, name), 'it must be {"value": …} with a text, a number or a truth value.');
    }
  }
}

function checkSettings(
  settings: JsonValue | undefined,
  { path, problems }: Place,
  { needsImage }: { readonly needsImage: boolean },
): void {
  if (settings === undefined && !needsImage) return;
  if (!isJsonObject(settings)) {
    problems.add(path, 'it must be an object such as {"image": "registry/name:tag"}.');
    return;
  }
  const image = settings['image'];
  if (needsImage && (typeof image !== 'string' || image.trim() === ''))
    problems.add(memberPath(path, 'image'), 'it must name the image, as text.');
  checkCreateOptions(settings, { path, problems });
}

function checkCreateOptions(settings: JsonObject, { path, problems }: Place): void {
  const pieces = new Map<number, JsonValue>();
  for (const [key, value] of Object.entries(settings)) {
    const match = /^createOptions(\d\d)?$/i.exec(key);
    if (match === null) continue;
    const index = match[1] === undefined ? 0 : Number(match[1]);
    if (match[1] === '00')
      problems.add(
        memberPath(path, key),
        'the pieces are createOptions, createOptions01, createOptions02 …: there is no 00.',
      );
    else pieces.set(index, value);
  }
  if (pieces.size === 0) return;
  const [only] = pieces.values();
  if (pieces.size === 1 && pieces.has(0) && (only === null || isJsonObject(only))) return;
  let text = '';
  for (let index = 0; index < Math.min(pieces.size, createOptionsPieces); index += 1) {
    const piece = pieces.get(index);
    const name = index === 0 ? 'createOptions' : `createOptions${String(index).padStart(2, '0')}`;
    if (piece === undefined)
      problems.add(memberPath(path, name), 'this piece is missing: the pieces are numbered without holes.');
    else if (typeof piece !== 'string') problems.add(memberPath(path, name), 'it must be a text holding JSON.');
    else text += piece;
    if (typeof piece !== 'string') return;
  }
  const parsed = parseJson(text === '' ? '{}' : text);
  if (!parsed.ok) problems.add(memberPath(path, 'createOptions'), `the text is not JSON: ${parsed.reason}.`);
  else if (parsed.value !== null && !isJsonObject(parsed.value))
    problems.add(memberPath(path, 'createOptions'), 'the JSON in the text must be an object.');
}

function at({ path, problems }: Place, key: string): Place {
  return { path: memberPath(path, key), problems };
}
