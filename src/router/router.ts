// Who gets what: every message of the gateway passes here once on its way in, and leaves by the pump of its queue.
//
//   accept ─► targets by route ─► store.append ─► (the broker acknowledges)
//   queue  ─► drain ─► endpoint
//
// Owns the routes in force and one drain for each attached queue. Does not know what an endpoint is.
//
// Invariants
//   Acknowledge after commit: accept() resolves only after append() has, for all target queues together.
//   One message goes to one endpoint once, however many routes lead there: the route with the smallest priority
//   number decides, with its priority and its time to live. Both are fixed when the message is stored, and so is
//   whether it goes to the live lane of its priority (the drain knows).
//   A bad route is named and left out; it never takes the others with it.
//   The body and the properties are handed on, never copied.
//
// The application property `weir-durable: now` asks for a commit at once: an alarm does not wait for company.
//
// A message that no route takes is dropped, counted and acknowledged, as IoT Edge does. Until routes have been
// set everything goes upstream: a gateway without a deployment must not lose what its devices send.

import { strict as assert } from 'node:assert';
import { routedSourcesMax, routesMax } from '../limits.ts';
import { type Lane, priorityUnset } from '../model/lane.ts';
import { type Message, messageSource } from '../model/message.ts';
import type { Clock } from '../platform/clock.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Log } from '../platform/log.ts';
import type { Counter, Metrics } from '../platform/metrics.ts';
import { Drain, type DrainOptions } from './drain.ts';
import { type RouteProblem, RouterError } from './errors.ts';
import type { Endpoint, RouterStore, StoreTarget } from './ports.ts';
import { sourceMatches } from './route-match.ts';
import { type ParsedRoute, parseRoute, upstreamQueue } from './route-parser.ts';

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

export interface RouterPorts {
  readonly store: RouterStore;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly log: Log;
  readonly metrics: Metrics;
}

export interface RouterOptions {
  /** In force until routes are set. */
  readonly timeToLiveSecs: number;
}

interface Route extends ParsedRoute {
  readonly name: string;
  readonly priority: number;
  readonly timeToLiveSecs: number;
}

const priorityMax = 9;
const timeToLiveSecsMax = 4_294_967_295;
const msPerSecond = 1000;

/** The application property by which a sender asks for a commit at once, and its value. */
export const durableProperty = { name: 'weir-durable', value: 'now' } as const;

const defaultRoute: RouteSpec = { name: 'default', text: `FROM /* INTO ${upstreamQueue}` };

export class Router {
  readonly #ports: RouterPorts;
  readonly #drains = new Map<string, Drain>();
  readonly #targets = new Map<string, readonly StoreTarget[]>();
  readonly #unrouted: Counter;
  readonly #accepted: Counter;
  #routes: readonly Route[];
  #stopListening: (() => void) | undefined;
  #state: 'idle' | 'started' | 'closed' = 'idle';

  constructor(ports: RouterPorts, options: RouterOptions) {
    this.#ports = ports;
    this.#unrouted = ports.metrics.counter('router_messages_dropped_total', { reason: 'no_route' });
    this.#accepted = ports.metrics.counter('router_messages_accepted_total');
    this.#routes = compile([defaultRoute], options).routes;
  }

  /** Puts all good routes of `specs` in force in place of the old ones; answers why the others are not. */
  setRoutes(specs: readonly RouteSpec[], defaults: RouteDefaults): readonly RouteProblem[] {
    const { routes, problems } = compile(specs, defaults);
    this.#routes = routes;
    this.#targets.clear();
    this.#ports.log.info('routes in force', { routes: routes.length, refused: problems.length });
    for (const { route, code, message, column } of problems) {
      this.#ports.log.warn('a route is not in force', { route, code, column, reason: message });
    }
    return problems;
  }

  /** Resolves when the message is on stable storage in every queue it goes to, or at once when no route takes it. */
  async accept(message: Message): Promise<void> {
    if (this.#state === 'closed')
      throw new RouterError({
        code: 'ROUTER_CLOSED',
        message: 'The router is closing. Send again after the restart.',
        retryable: true,
      });
    const targets = this.#targetsOf(message).map((target) => this.#fresh(target));
    if (targets.length === 0) {
      this.#unrouted.add();
      return;
    }
    const settled = targets.map((target) => this.#drains.get(target.queue)?.storing(target, message.enqueuedMs));
    const isUrgent = message.properties[durableProperty.name] === durableProperty.value;
    let isStored = false;
    try {
      const outcome = await this.#ports.store.append(message, targets, isUrgent ? { durable: 'now' } : {});
      assert(outcome === 'stored' || outcome === 'duplicate', 'the store has it, whichever way');
      isStored = outcome === 'stored';
    } finally {
      for (const done of settled) done?.(isStored);
    }
    this.#accepted.add();
  }

  /** From now on, and after start(), the queue drains into the endpoint. */
  attach(queue: string, endpoint: Endpoint, options: DrainOptions = {}): void {
    assert(!this.#drains.has(queue), `queue ${queue} has one endpoint`);
    const { store, clock, entropy, metrics } = this.#ports;
    const log = this.#ports.log.child('drain');
    const drain = new Drain({ store, endpoint, clock, entropy, log, metrics }, queue, options);
    this.#drains.set(queue, drain);
    if (this.#state === 'started') drain.start();
  }

  /**
   * Everything of the lane up to `offset` has arrived another way, or is given up: it is not sent any more, and leaves
   * the store. What is under way just now may still arrive. Resolves when that is durable.
   */
  release(lane: Lane, offset: number): Promise<void> {
    const drain = this.#drains.get(lane.queue);
    return drain === undefined ? this.#ports.store.confirm(lane, offset) : drain.release(lane, offset);
  }

  /** True when the queue has an endpoint. */
  isAttached(queue: string): boolean {
    return this.#drains.has(queue);
  }

  start(): void {
    assert(this.#state === 'idle', 'a router is started once');
    this.#state = 'started';
    this.#stopListening = this.#ports.store.onAppended((lane) => this.#drains.get(lane.queue)?.wake(lane));
    for (const drain of this.#drains.values()) drain.start();
  }

  /** Takes nothing more, stops all drains and waits for them. What is not confirmed stays in the store. */
  async close(): Promise<void> {
    this.#state = 'closed';
    this.#stopListening?.();
    await Promise.all([...this.#drains.values()].map((drain) => drain.close()));
  }

  /** Queues that the routes in force fill: the ones that need an endpoint. */
  queues(): readonly string[] {
    return [...new Set(this.#routes.map(({ sink }) => sink))];
  }

  /** The target as it is for a message that comes now. */
  #fresh(target: StoreTarget): StoreTarget {
    const isLive = this.#drains.get(target.queue)?.takesLive(target.priority) ?? false;
    return isLive ? { ...target, live: true } : target;
  }

  #targetsOf(message: Message): readonly StoreTarget[] {
    const source = messageSource(message);
    const known = this.#targets.get(source);
    if (known !== undefined) return known;
    const targets = targetsFor(this.#routes, source);
    if (this.#targets.size >= routedSourcesMax) this.#targets.clear();
    this.#targets.set(source, targets);
    return targets;
  }
}

/** One target for each sink; of several routes to it the smallest priority number decides, then the order they were given in. */
function targetsFor(routes: readonly Route[], source: string): readonly StoreTarget[] {
  const bySink = new Map<string, Route>();
  for (const route of routes) {
    if (!sourceMatches(route.sourcePrefix, source)) continue;
    const other = bySink.get(route.sink);
    if (other === undefined || route.priority < other.priority) bySink.set(route.sink, route);
  }
  return [...bySink.values()].map(({ sink, priority, timeToLiveSecs }) => ({
    queue: sink,
    priority,
    live: false,
    timeToLiveMs: timeToLiveSecs === 0 ? undefined : timeToLiveSecs * msPerSecond,
  }));
}

function compile(
  specs: readonly RouteSpec[],
  defaults: RouteDefaults,
): { readonly routes: readonly Route[]; readonly problems: readonly RouteProblem[] } {
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
