// Routes as a deployment gives them, read into routes that can be in force. Pure.
//
// A bad route is named and left out; what becomes of the others is the caller's to say.

import { routesMax } from '../limits.ts';
import { priorityUnset } from '../model/lane.ts';
import type { RouteProblem } from './errors.ts';
import { type ParsedRoute, parseRoute } from './route-parser.ts';

export interface RouteSpec {
  readonly name: string;
  readonly text: string;
  /** 0 (first) to 9; without one a route comes after those that have one. */
  readonly priority?: number | undefined;
  /** Undefined or 0: the default. */
  readonly timeToLiveSecs?: number | undefined;
}

export interface RouteDefaults {
  /** 0: messages never expire. */
  readonly timeToLiveSecs: number;
}

export interface Route extends ParsedRoute {
  readonly name: string;
  readonly priority: number;
  /** 0: for ever. */
  readonly timeToLiveSecs: number;
}

export interface RouteSet {
  readonly routes: readonly Route[];
  readonly problems: readonly RouteProblem[];
}

const priorityMax = 9;
const timeToLiveSecsMax = 4_294_967_295;

/** All good routes of `specs`, in their order, and why the others are not. */
export function readRoutes(specs: readonly RouteSpec[], defaults: RouteDefaults): RouteSet {
  const routes: Route[] = [];
  const problems: RouteProblem[] = [];
  for (const spec of specs) {
    const problem = settingProblem(spec) ?? (routes.length >= routesMax ? tooMany(spec) : undefined);
    if (problem !== undefined) {
      problems.push(problem);
      continue;
    }
    const parsed = parseRoute(spec.text);
    if (!parsed.ok) {
      const { code, message, column } = parsed;
      problems.push({ route: spec.name, code, message: `Route ${spec.name}, character ${column}: ${message}`, column });
      continue;
    }
    const timeToLiveSecs = spec.timeToLiveSecs || defaults.timeToLiveSecs;
    routes.push({ ...parsed.route, name: spec.name, priority: spec.priority ?? priorityUnset, timeToLiveSecs });
  }
  return { routes, problems };
}

function settingProblem({ name, priority, timeToLiveSecs }: RouteSpec): RouteProblem | undefined {
  const fits = (value: number | undefined, max: number): boolean =>
    value === undefined || (Number.isInteger(value) && value >= 0 && value <= max);
  const problem = (message: string): RouteProblem => {
    return {
      route: name,
      code: 'ROUTER_ROUTE_SETTING_INVALID',
      message: `Route ${name}: ${message}`,
      column: undefined,
    };
  };
  if (!fits(priority, priorityMax))
    return problem(`priority is ${priority}; write a whole number from 0 to ${priorityMax}.`);
  if (!fits(timeToLiveSecs, timeToLiveSecsMax))
    return problem(`timeToLiveSecs is ${timeToLiveSecs}; write a whole number from 0 to ${timeToLiveSecsMax}.`);
  return undefined;
}

function tooMany({ name }: RouteSpec): RouteProblem {
  const message = `Route ${name}: at most ${routesMax} routes are in force at a time. Put several modules under one source.`;
  return { route: name, code: 'ROUTER_TOO_MANY_ROUTES', message, column: undefined };
}
