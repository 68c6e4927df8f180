// The rules of `$edgeHub`'s desired properties: schema version, routes, store and forward.
//
// A route is a text or, from schema 1.1 on, {route, priority 0–9, timeToLiveSecs}. Here only its outer form
// FROM … INTO … is looked at: the gateway's router owns the grammar.

import { isJsonObject, type JsonObject, type JsonValue } from '../../model/json.ts';
import { memberPath } from '../../model/twin-rules.ts';
import type { ProblemList } from './manifest.ts';

interface Place {
  readonly path: string;
  readonly problems: ProblemList;
}

const schemaVersion = /^1\.[0-3](\.\d+)?$/;
const routeName = /^[^.$# ]+$/;
const routeStart = /\bFROM\b/i;
const routeEnd = /\bINTO\b\s*\S/i;
const priorityMax = 9;
const uint32Max = 0xffffffff;
const int32Max = 0x7fffffff;

export function checkHub(desired: JsonObject, place: Place): void {
  const version = desired['schemaVersion'];
  if (typeof version !== 'string' || !schemaVersion.test(version)) {
    place.problems.add(memberPath(place.path, 'schemaVersion'), 'it must be one of 1.0, 1.1, 1.2, 1.3, as text.');
  }
  const isFirst = typeof version === 'string' && version.startsWith('1.0');
  checkRoutes(desired['routes'], { path: memberPath(place.path, 'routes'), problems: place.problems }, { isFirst });
  checkStore(desired['storeAndForwardConfiguration'], {
    path: memberPath(place.path, 'storeAndForwardConfiguration'),
    problems: place.problems,
  });
}

function checkRoutes(
  routes: JsonValue | undefined,
  { path, problems }: Place,
  { isFirst }: { readonly isFirst: boolean },
): void {
  if (routes === undefined && isFirst) return;
  if (!isJsonObject(routes)) {
    problems.add(path, 'it must be an object such as {"up": "FROM /messages/* INTO $upstream"}. {} means no route.');
    return;
  }
  for (const [name, route] of Object.entries(routes)) {
    const place = { path: memberPath(path, name), problems };
    // An empty route name or one with '.', '$' or a blank is refused by the twin rules already.
    if (name.includes('#') && !routeName.test(name)) problems.add(place.path, "a route name must not contain '#'.");
    if (typeof route === 'string') checkText(route, place, { isFirst });
    else if (isJsonObject(route) && !isFirst) checkRouteObject(route, place);
    else if (isJsonObject(route))
      problems.add(
        place.path,
        'routes as objects need schemaVersion 1.1 or later. Write "1.1" there, or the route as text.',
      );
    else problems.add(place.path, 'it must be a text such as "FROM /messages/* INTO $upstream".');
  }
}

function checkRouteObject(route: JsonObject, place: Place): void {
  const { path, problems } = place;
  if (typeof route['route'] === 'string')
    checkText(route['route'], { path: memberPath(path, 'route'), problems }, { isFirst: false });
  else problems.add(memberPath(path, 'route'), 'it must be a text such as "FROM /messages/* INTO $upstream".');
  if (!isWhole(route['priority'], priorityMax))
    problems.add(memberPath(path, 'priority'), `it must be a whole number from 0 (first) to ${priorityMax}.`);
  if (!isWhole(route['timeToLiveSecs'], uint32Max))
    problems.add(memberPath(path, 'timeToLiveSecs'), 'it must be a whole number of seconds, 0 for the default.');
}

function checkText(route: string, { path, problems }: Place, { isFirst }: { readonly isFirst: boolean }): void {
  if (route.trim() === '') {
    if (!isFirst) problems.add(path, 'the route is empty. Remove it or write FROM … INTO ….');
  } else if (!hasRouteForm(route)) {
    problems.add(
      path,
      'a route reads FROM <source> [WHERE <condition>] INTO <sink>, for instance FROM /messages/* INTO $upstream.',
    );
  }
}

/** In two steps, because one pattern for both would take the square of a long text's time. */
function hasRouteForm(route: string): boolean {
  const start = route.search(routeStart);
  return start >= 0 && routeEnd.test(route.slice(start));
}

function checkStore(store: JsonValue | undefined, { path, problems }: Place): void {
  if (store === undefined) return;
  if (!isJsonObject(store)) {
    problems.add(path, 'it must be an object such as {"timeToLiveSecs": 7200}.');
    return;
  }
  const seconds = store['timeToLiveSecs'];
  if (seconds !== undefined && !(Number.isInteger(seconds) && Math.abs(Number(seconds)) <= int32Max)) {
    problems.add(
      memberPath(path, 'timeToLiveSecs'),
      'it must be a whole number of seconds; negative keeps messages for ever.',
    );
  }
  const limits = store['storeLimits'];
  if (limits === undefined || limits === null) return;
  const bytes = isJsonObject(limits) ? limits['maxSizeBytes'] : undefined;
  if (!Number.isInteger(bytes))
    problems.add(memberPath(memberPath(path, 'storeLimits'), 'maxSizeBytes'), 'it must be a whole number of bytes.');
}

function isWhole(value: JsonValue | undefined, max: number): boolean {
  return (
    value === undefined || value === null || (Number.isInteger(value) && Number(value) >= 0 && Number(value) <= max)
  );
}
