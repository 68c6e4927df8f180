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
import { type Lane, priorityUnset } from '../model/lane.ts';
import { eventSources, type Message, type MessageKind } from '../model/message.ts';
import type { Clock } from '../platform/clock.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Log } from '../platform/log.ts';
import type { Counter, Metrics } from '../platform/metrics.ts';
import { Drain, type DrainOptions } from './drain.ts';
import { type RouteProblem, RouterError } from './errors.ts';
import type { Endpoint, RouterStore, StoreTarget } from './ports.ts';
import { upstreamQueue } from './route-parser.ts';
import { type RouteDefaults, type RouteSpec, readRoutes } from './route-set.ts';
import { RouteTable } from './route-table.ts';

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
  /** Of this gateway: which messages come from its own modules. */
  readonly deviceId?: string | undefined;
}

/** The application property by which a sender asks for a commit at once, and its value. */
export const durableProperty = { name: 'weir-durable', value: 'now' } as const;

const defaultRoute: RouteSpec = { name: 'default', text: `FROM /* INTO ${upstreamQueue}` };

export class Router {
  readonly #ports: RouterPorts;
  readonly #drains = new Map<string, Drain>();
  readonly #unrouted: Counter;
  readonly #accepted: Counter;
  readonly #deviceId: string | undefined;
  #table: RouteTable;
  #stopListening: (() => void) | undefined;
  #state: 'idle' | 'started' | 'closed' = 'idle';

  constructor(ports: RouterPorts, options: RouterOptions) {
    this.#ports = ports;
    this.#unrouted = ports.metrics.counter('router_messages_dropped_total', { reason: 'no_route' });
    this.#accepted = ports.metrics.counter('router_messages_accepted_total');
    this.#deviceId = options.deviceId;
    this.#table = new RouteTable(readRoutes([defaultRoute], options).routes, options);
  }

  /** Puts all good routes of `specs` in force in place of the old ones; answers why the others are not. */
  setRoutes(specs: readonly RouteSpec[], defaults: RouteDefaults): readonly RouteProblem[] {
    const { routes, problems } = readRoutes(specs, defaults);
    this.#table = new RouteTable(routes, { deviceId: this.#deviceId });
    this.#ports.log.info('routes in force', { routes: routes.length, refused: problems.length });
    for (const { route, code, message, column } of problems) {
      this.#ports.log.warn('a route is not in force', { route, code, column, reason: message });
    }
    return problems;
  }

  /** What is wrong with these routes; changes nothing. */
  checkRoutes(specs: readonly RouteSpec[]): readonly RouteProblem[] {
    return readRoutes(specs, { timeToLiveSecs: 0 }).problems;
  }

  /** Resolves when the message is on stable storage in every queue it goes to, or at once when no route takes it. */
  async accept(message: Message): Promise<void> {
    this.#assertOpen();
    const targets = this.#table.targetsOf(message).map((target) => this.#fresh(target));
    if (targets.length === 0) {
      this.#unrouted.add();
      return;
    }
    await this.#store(message, targets);
    this.#accepted.add();
  }

  /** Puts a message that no route is asked about into a queue; resolves when it is on stable storage. */
  async put(queue: string, message: Message, { timeToLiveMs }: Pick<StoreTarget, 'timeToLiveMs'>): Promise<void> {
    this.#assertOpen();
    await this.#store(message, [{ queue, priority: priorityUnset, live: false, timeToLiveMs }]);
  }

  async #store(message: Message, targets: readonly StoreTarget[]): Promise<void> {
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
  }

  #assertOpen(): void {
    if (this.#state !== 'closed') return;
    throw new RouterError({
      code: 'ROUTER_CLOSED',
      message: 'The router is closing. Send again after the restart.',
      retryable: true,
    });
  }

  /** True when some route in force may take messages of this kind: only then are they worth making. */
  wants(kind: Exclude<MessageKind, 'telemetry'>): boolean {
    return this.#table.wants(eventSources[kind]);
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
    return this.#table.sinks();
  }

  /** The target as it is for a message that comes now. */
  #fresh(target: StoreTarget): StoreTarget {
    const isLive = this.#drains.get(target.queue)?.takesLive(target.priority) ?? false;
    return isLive ? { ...target, live: true } : target;
  }
}
