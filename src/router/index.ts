// The door of the router: routes, dispatch into queues, and the pumps that empty them.

export { type RouteProblem, RouterError } from './errors.ts';
export type { Endpoint, RouterStore, StoredMessage, StoreTarget } from './ports.ts';
export { upstreamQueue } from './route-parser.ts';
export type { RouteDefaults, RouteSpec } from './route-set.ts';
export { judgeRoutes, type RouteJudgement, type RouteTrial, tryRoutes } from './route-trial.ts';
export { Router, type RouterOptions, type RouterPorts } from './router.ts';
