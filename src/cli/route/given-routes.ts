// The routes that a command line names: texts, or those of a deployment manifest.
//
// Of a manifest only `$edgeHub`'s routes are looked at, read as the gateway reads them; of a layered one the members
// `properties.desired.routes.<name>`, too.

import { errorMessage } from '../../model/errors.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../../model/json.ts';
import type { RouteSpec } from '../../router/index.ts';
import type { CliContext } from '../context.ts';
import { CliError, UsageError } from '../errors.ts';

export interface GivenRoutes {
  readonly routes: readonly RouteSpec[];
  /** What is wrong beside the routes' texts. */
  readonly problems: readonly { readonly path: string; readonly message: string }[];
}

export async function givenRoutes(
  context: CliContext,
  { texts, manifest }: { readonly texts: readonly string[]; readonly manifest: string | undefined },
): Promise<GivenRoutes> {
  if (manifest !== undefined && texts.length > 0) throw new UsageError('Give routes or --manifest, not both.');
  if (manifest === undefined && texts.length === 0)
    throw new UsageError('Give a route in quotes, such as "FROM /messages/* INTO $upstream", or --manifest FILE.');
  if (manifest === undefined) {
    const named = (at: number): string => (texts.length === 1 ? 'route' : `route${at + 1}`);
    return { routes: texts.map((text, at) => ({ name: named(at), text })), problems: [] };
  }
  return await routesOfManifest(await readManifest(context, manifest), manifest);
}

async function readManifest(context: CliContext, path: string): Promise<JsonValue> {
  const bytes = await context.disk.readFile('cli:manifest', path).catch((cause: unknown) => {
    throw new CliError('CLI_CANNOT_READ', `The manifest ${path} cannot be read: ${errorMessage(cause)}.`, cause);
  });
  const parsed = parseJson(bytes.toString('utf8').replace(/^\uFEFF/, ''));
  if (parsed.ok) return parsed.value;
  throw new CliError('CLI_CANNOT_READ', `The manifest ${path} is no JSON: ${parsed.reason}.`);
}

const desiredKey = 'properties.desired';

/** What a gateway will not take of the routes that a manifest deploys: one line each. Other faults are its own to find. */
export async function routeFaults(manifest: string): Promise<readonly string[]> {
  const parsed = parseJson(manifest);
  const hub = parsed.ok ? hubSection(parsed.value) : undefined;
  if (!isJsonObject(hub)) return [];
  const { parseRouting } = await import('../../agent/index.ts');
  const routing = parseRouting(desiredOf(hub));
  if (!routing.ok) return [];
  const { judgeRoutes } = await import('../../router/index.ts');
  return judgeRoutes(routing.routes).flatMap(({ problem }) => (problem === undefined ? [] : problem.message));
}

function hubSection(document: JsonValue): JsonValue | undefined {
  const holder = member(document, 'content') ?? document;
  return member(member(holder, 'modulesContent'), '$edgeHub') ?? member(holder, '$edgeHub');
}

async function routesOfManifest(document: JsonValue, path: string): Promise<GivenRoutes> {
  const hub = hubSection(document);
  if (!isJsonObject(hub))
    throw new CliError('CLI_CANNOT_READ', `The manifest ${path} has no modulesContent.$edgeHub with routes.`);
  const { parseRouting } = await import('../../agent/index.ts');
  const parsed = parseRouting(desiredOf(hub));
  if (!parsed.ok) return { routes: [], problems: parsed.problems };
  return { routes: parsed.routes, problems: parsed.problems };
}

/** The section, with the members of a layered deployment put into it. */
function desiredOf(hub: JsonObject): JsonObject {
  const section = hub[desiredKey];
  const start = `${desiredKey}.routes.`;
  const layered = Object.entries(hub).filter(([key]) => key.startsWith(start));
  const base = isJsonObject(section) ? section : layered.length > 0 ? { schemaVersion: '1.1' } : {};
  const routes = isJsonObject(base['routes']) ? base['routes'] : {};
  if (layered.length === 0) return base;
  const added = Object.fromEntries(layered.map(([key, value]) => [key.slice(start.length), value]));
  return { ...base, routes: { ...routes, ...added } };
}

function member(value: JsonValue | undefined, name: string): JsonValue | undefined {
  return isJsonObject(value) ? value[name] : undefined;
}
