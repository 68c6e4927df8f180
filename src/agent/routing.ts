// `$edgeHub`'s desired properties: the routes and how long messages are kept, taken and reported.
//
// Owns the reading of Azure's edgeHub schema 1.0 to 1.3 (routes as texts or objects) and the report. The route
// language itself belongs to the router, which says what it refuses: each bad route is reported and left out,
// the good ones go on. With the mode `strict` one bad route refuses all of them, as in IoT Edge: the last good ones stay.
//
// Until a configuration is known the router's own default holds: everything goes upstream.

import { agentReportIntervalMs } from '../limits.ts';
import { errorMessage } from '../model/errors.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../model/json.ts';
import type { Problem } from '../model/problem.ts';
import { diffPatch } from '../model/twin.ts';
import { cutTwinText } from '../model/twin-rules.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { BrokerSections } from './broker-sections.ts';
import type { Clients } from './clients.ts';
import { deploymentStatus } from './errors.ts';
import type { AgentMemory, OwnTwin } from './ports.ts';
import type { AgentFacts, DesiredStatus } from './report.ts';

export interface RouteOrder {
  readonly name: string;
  readonly text: string;
  readonly priority?: number;
  readonly timeToLiveSecs?: number;
}

export interface RouteHands {
  /** Puts these routes in force; returns the refused ones with the reason. */
  setRoutes(routes: readonly RouteOrder[], defaults: { readonly timeToLiveSecs: number }): readonly RefusedRoute[];
  /** The ones that setRoutes would refuse; changes nothing. */
  checkRoutes(routes: readonly RouteOrder[]): readonly RefusedRoute[];
}

export interface RefusedRoute {
  readonly name: string;
  readonly message: string;
}

export interface RoutingOrders {
  readonly routes: readonly RouteOrder[];
  /** Seconds a message is kept; negative means for ever. */
  readonly timeToLiveSecs: number | undefined;
  readonly problems: readonly Problem[];
}

export type ParsedRouting =
  | ({ readonly ok: true } & RoutingOrders)
  | { readonly ok: false; readonly status: number; readonly problems: readonly Problem[] };

const routeNamePattern = /^[^.$# ]+$/;
const routePriorityMax = 9;

/** Reads the section; a problem inside one route leaves the others standing. */
export function parseRouting(desired: JsonObject): ParsedRouting {
  if (Object.keys(desired).length === 0)
    return {
      ok: false,
      status: deploymentStatus.empty,
      problems: [{ path: '', message: 'no routes have been set for this device yet' }],
    };
  const schema = desired['schemaVersion'];
  if (typeof schema !== 'string' || !/^1\.[0-3](\.\d+)?$/.test(schema)) {
    return {
      ok: false,
      status: deploymentStatus.malformed,
      problems: [
        {
          path: 'schemaVersion',
          message: `${JSON.stringify(schema ?? null)} is not supported; write "1.0", "1.1", "1.2" or "1.3"`,
        },
      ],
    };
  }
  const isFirst = schema.startsWith('1.0');
  const routes = desired['routes'] ?? (isFirst ? {} : undefined);
  if (!isJsonObject(routes))
    return {
      ok: false,
      status: deploymentStatus.malformed,
      problems: [{ path: 'routes', message: 'an object with one member a route is expected; {} means no route' }],
    };
  const problems: Problem[] = [];
  const orders: RouteOrder[] = [];
  for (const [name, value] of Object.entries(routes)) {
    const order = parseRoute({ name, value, schema, problems });
    if (order !== undefined) orders.push(order);
  }
  return {
    ok: true,
    routes: orders,
    timeToLiveSecs: parseTimeToLive(desired['storeAndForwardConfiguration'], problems),
    problems,
  };
}

interface RouteParsing {
  readonly name: string;
  readonly value: JsonValue;
  readonly schema: string;
  readonly problems: Problem[];
}

function parseRoute({ name, value, schema, problems }: RouteParsing): RouteOrder | undefined {
  const complain = (message: string, inner = ''): undefined =>
    void problems.push({ path: `routes.${name}${inner}`, message });
  if (!routeNamePattern.test(name)) return complain("a route name is not empty and holds no blank, '.', '$' or '#'");
  if (typeof value === 'string') {
    if (value.trim() === '')
      return schema.startsWith('1.0') ? undefined : complain('a route must not be empty; remove it instead');
    return { name, text: value };
  }
  if (isJsonObject(value) && schema.startsWith('1.0'))
    return complain('routes as objects need schemaVersion "1.1" or later; write it as text');
  if (!isJsonObject(value) || typeof value['route'] !== 'string')
    return complain('write the route as text, or as { "route": "…", "priority": 0–9, "timeToLiveSecs": … }');
  const { priority, timeToLiveSecs } = value;
  if (
    priority !== undefined &&
    (typeof priority !== 'number' || !Number.isInteger(priority) || priority < 0 || priority > routePriorityMax)
  ) {
    return complain(`a whole number from 0 (first) to ${routePriorityMax} is expected`, '.priority');
  }
  if (
    timeToLiveSecs !== undefined &&
    (typeof timeToLiveSecs !== 'number' || !Number.isInteger(timeToLiveSecs) || timeToLiveSecs < 0)
  ) {
    return complain('a whole number of seconds is expected; 0 means the common time to live', '.timeToLiveSecs');
  }
  return {
    name,
    text: value['route'],
    ...(typeof priority === 'number' ? { priority } : {}),
    ...(typeof timeToLiveSecs === 'number' && timeToLiveSecs > 0 ? { timeToLiveSecs } : {}),
  };
}

function parseTimeToLive(section: JsonValue | undefined, problems: Problem[]): number | undefined {
  if (section === undefined || section === null) return undefined;
  const secs = isJsonObject(section) ? section['timeToLiveSecs'] : undefined;
  if (secs === undefined && isJsonObject(section)) return undefined;
  if (typeof secs === 'number' && Number.isInteger(secs)) return secs;
  problems.push({
    path: 'storeAndForwardConfiguration.timeToLiveSecs',
    message: 'a whole number of seconds is expected; negative means for ever',
  });
  return undefined;
}

export interface RoutingPorts {
  readonly twin: OwnTwin;
  readonly hands: RouteHands;
  readonly memory: AgentMemory;
  readonly log: Log;
  readonly facts: AgentFacts;
  readonly timeToLiveSecs: number;
  readonly mode: 'isolated' | 'strict';
  readonly clock: Clock;
  readonly clients: Clients;
  /** Whoever takes `mqttBroker`. */
  readonly sections?: BrokerSections;
}

const lastGoodKey = 'agent:last-good-routing';

export class Routing {
  readonly #ports: RoutingPorts;
  #status: DesiredStatus = {
    version: 0,
    code: deploymentStatus.empty,
    description: 'no routes have been set for this device yet',
  };
  #taken = 0;
  #reporting: Promise<void> = Promise.resolve();
  #reportTimer: Timer | undefined;
  #isOverdue = false;

  constructor(ports: RoutingPorts) {
    this.#ports = ports;
  }

  async start(): Promise<void> {
    const remembered = await this.#ports.memory.state(lastGoodKey);
    const parsed = remembered === undefined ? undefined : parseJson(remembered);
    if (parsed?.ok === true && isJsonObject(parsed.value)) this.#putInForce(parsed.value, 0);
    await this.#ports.sections?.start();
    this.#take();
    this.#ports.twin.onDesired(() => this.#take());
    this.#ports.clients.onChange(() => this.#reportSoon());
  }

  status(): DesiredStatus {
    return this.#status;
  }

  /** Sends the difference to the last report. */
  report(): Promise<void> {
    this.#reporting = this.#reporting
      .then(() => this.#sendReport())
      .then(
        () => {
          this.#isOverdue = false;
        },
        (error: unknown) => {
          // Clients that come and go on a full disk ask for a report every few seconds: told once.
          const level = this.#isOverdue ? 'debug' : 'warn';
          this.#isOverdue = true;
          this.#ports.log[level]('the routing report is not stored yet', { reason: errorMessage(error) });
        },
      );
    return this.#reporting;
  }

  close(): Promise<void> {
    this.#ports.clients.onChange(() => undefined);
    this.#reportTimer?.cancel();
    return this.#reporting;
  }

  /** Clients come and go in crowds: reports are spaced, the last state always gets through. */
  #reportSoon(): void {
    if (this.#reportTimer !== undefined) return;
    this.#reportTimer = this.#ports.clock.setTimer(agentReportIntervalMs, () => {
      this.#reportTimer = undefined;
      void this.report();
    });
  }

  #take(): void {
    const { properties, version } = this.#ports.twin.desired();
    if (version === 0 || version === this.#taken) return;
    this.#taken = version;
    if (this.#putInForce(properties, version)) {
      this.#ports.memory
        .saveState(lastGoodKey, JSON.stringify(properties))
        .catch((error: unknown) =>
          this.#ports.log.warn('the routes could not be remembered', { reason: errorMessage(error) }),
        );
    }
    void this.report();
  }

  #putInForce(desired: JsonObject, version: number): boolean {
    const parsed = parseRouting(desired);
    if (!parsed.ok) {
      this.#status = { version, code: parsed.status, description: describe(parsed.problems) };
      const routeFacts = { version, reason: this.#status.description };
      if (parsed.status === deploymentStatus.empty) this.#ports.log.info('no routes yet', routeFacts);
      else this.#ports.log.warn('the routes cannot be read; the last good ones stay in force', routeFacts);
      return false;
    }
    if (this.#ports.mode === 'strict' && this.#refuseAll(parsed, version)) return false;
    const refused = this.#ports.hands.setRoutes(parsed.routes, {
      timeToLiveSecs: parsed.timeToLiveSecs ?? this.#ports.timeToLiveSecs,
    });
    // What is only remembered has had its turn, section by section.
    const ofBroker = version === 0 ? [] : (this.#ports.sections?.take(desired) ?? []);
    const problems = [...parsed.problems, ...refused.map(routeProblem), ...ofBroker];
    this.#status = {
      version,
      code: problems.length === 0 ? deploymentStatus.ok : deploymentStatus.malformed,
      description: describe(problems),
    };
    if (problems.length > 0)
      this.#ports.log.warn('some of it is left out', { version, reason: this.#status.description });
    else this.#ports.log.info('routes in force', { version, routes: parsed.routes.length });
    return true;
  }

  /** True when something is wrong with any of the routes: then nothing is changed. */
  #refuseAll(parsed: RoutingOrders, version: number): boolean {
    const refused = this.#ports.hands.checkRoutes(parsed.routes);
    const problems = [...parsed.problems, ...refused.map(routeProblem)];
    if (problems.length === 0) return false;
    const description = `Error while parsing desired properties - ${describe(problems)}`;
    this.#status = { version, code: deploymentStatus.malformed, description };
    this.#ports.log.warn('the routes are refused together; the last good ones stay in force', {
      version,
      reason: description,
    });
    return true;
  }

  async #sendReport(): Promise<void> {
    const { twin, facts, clients } = this.#ports;
    const present = clients.report();
    const report: JsonObject = {
      schemaVersion: '1.0',
      version: { ...facts.version },
      lastDesiredVersion: this.#status.version,
      lastDesiredStatus: { code: this.#status.code, description: cutTwinText(this.#status.description) },
      ...(present === undefined ? {} : { clients: present }),
    };
    const patch = diffPatch(twin.reported(), report);
    if (Object.keys(patch).length > 0) await twin.patchReported(patch);
  }
}

function describe(problems: readonly Problem[]): string {
  return problems.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ');
}

function routeProblem({ name, message }: RefusedRoute): Problem {
  return { path: `routes.${name}`, message: `Error parsing route ${name} - ${message}` };
}
