// The door of the router: routes, dispatch into queues, and the pumps that empty them.

export type { Endpoint, RouterStore, StoredMessage, StoreTarget } from './ports.ts';
export { upstreamQueue } from './route-parser.ts';
export type { RouteSpec } from './route-set.ts';
export { judgeRoutes, type RouteJudgement, type RouteTrial, tryRoutes } from './route-trial.ts';
export { Router } from './router.ts';
