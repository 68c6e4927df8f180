// The door of the router: routes, dispatch into queues, and the pumps that empty them.

export { type RouteProblem, type RouteProblemCode, RouterError } from './errors.ts';
export type { Endpoint, RouterStore, StoredMessage } from './ports.ts';
export { parseRoute, upstreamQueue } from './route-parser.ts';
export { type RouteDefaults, Router, type RouterOptions, type RouterPorts, type RouteSpec } from './router.ts';
