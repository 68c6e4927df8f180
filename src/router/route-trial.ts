// Routes judged without putting them in force: one for its text, a set for a message. Pure.

import type { Message } from '../model/message.ts';
import { messageSource } from '../model/message.ts';
import { type Advice, adviceFor } from './advice.ts';
import { explainCondition } from './condition/explain.ts';
import type { RouteProblem } from './errors.ts';
import { sourceMatches } from './route-match.ts';
import { parseRoute } from './route-parser.ts';
import { type Route, type RouteSpec, readRoutes } from './route-set.ts';

export interface RouteJudgement {
  readonly route: string;
  readonly problem: RouteProblem | undefined;
  /** What it leads to: `$upstream`, `<module>/inputs/<input>`; undefined when there is a problem. */
  readonly sink: string | undefined;
  /** Allowed, and hardly ever meant. */
  readonly advice: readonly Advice[];
}

export interface RouteTrial {
  readonly route: string;
  /** True when source and condition take the message. */
  readonly matches: boolean;
  /** True when the endpoint gets its copy by this route. */
  readonly delivers: boolean;
  readonly sink: string | undefined;
  /** Why, or why not. */
  readonly reasons: readonly string[];
}

/** Each route by itself. */
export function judgeRoutes(specs: readonly RouteSpec[]): readonly RouteJudgement[] {
  const { problems } = readRoutes(specs, { timeToLiveSecs: 0 });
  return specs.map((spec) => {
    const problem = problems.find(({ route }) => route === spec.name);
    const parsed = problem === undefined ? parseRoute(spec.text) : undefined;
    if (parsed?.ok !== true) return { route: spec.name, problem, sink: undefined, advice: [] };
    return {
      route: spec.name,
      problem,
      sink: parsed.route.sink,
      advice: adviceFor(spec.text, parsed.route),
    };
  });
}

/** What the routes, all in force together, would do with the message. `deviceId`: of the gateway. */
export function tryRoutes(
  specs: readonly RouteSpec[],
  message: Message,
  options: { readonly deviceId?: string | undefined } = {},
): readonly RouteTrial[] {
  const { routes, problems } = readRoutes(specs, { timeToLiveSecs: 0 });
  const outcomes = routes.map((route) => ({ route, reasons: obstacles(route, message, options) }));
  const winners = new Map<string, Route>();
  for (const { route, reasons } of outcomes) {
    const best = winners.get(route.sink);
    if (reasons.length === 0 && (best === undefined || route.priority < best.priority)) winners.set(route.sink, route);
  }
  const trials = new Map<string, RouteTrial>();
  for (const { route, reasons } of outcomes) trials.set(route.name, trialOf(route, reasons, winners.get(route.sink)));
  for (const { route, message: reason } of problems)
    trials.set(route, { route, matches: false, delivers: false, sink: undefined, reasons: [reason] });
  return specs.flatMap(({ name }) => trials.get(name) ?? []);
}

function trialOf(route: Route, obstacles: readonly string[], winner: Route | undefined): RouteTrial {
  const { name, sink } = route;
  if (obstacles.length > 0) return { route: name, matches: false, delivers: false, sink, reasons: obstacles };
  if (winner === route || winner === undefined) {
    const reason = route.condition === undefined ? 'source matches' : 'source matches and the condition holds';
    return { route: name, matches: true, delivers: true, sink, reasons: [reason] };
  }
  const reason = `it matches, but the endpoint gets its one copy by route ${winner.name}`;
  return { route: name, matches: true, delivers: false, sink, reasons: [reason] };
}

/** Empty when the route takes the message. */
function obstacles(
  { sourcePrefix, condition }: Route,
  message: Message,
  options: { readonly deviceId?: string | undefined },
): readonly string[] {
  const source = messageSource(message);
  if (!sourceMatches(sourcePrefix, source)) {
    const byName = sourcePrefix === '/' ? '; it is taken by its name only' : '';
    return [`the message comes from ${source}, the route takes ${sourcePrefix}${byName}`];
  }
  if (condition === undefined) return [];
  const { verdict, reasons } = explainCondition(condition, message, options);
  return verdict === true ? [] : reasons;
}
