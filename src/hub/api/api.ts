// The service API: HTTP over the hub's unix socket, with the paths and bodies of Azure's service API.
//
//   GET    /devices?top=&after=                       devices, by id; `after` pages
//   PUT    /devices/{d}                               create; with If-Match change
//   GET    DELETE /devices/{d}
//   GET    /devices/{d}/modules
//   PUT    GET DELETE /devices/{d}/modules/{m}
//   POST   /devices/{d}/applyConfigurationContent     204; with ?outcome=true 200 and what changed
//   GET    PATCH PUT /twins/{d}[/modules/{m}]
//   GET    /events?from=&device=&follow=true          JSON lines (event-json.ts)
//   POST   /imports?file=NAME                         a queue file as base64; 200 and its receipt
//   GET    /status
//   and methods, cloud-to-device messages, feedback: calls.ts
//
// Whoever may open the socket (mode 0600) may do everything: the file system is the access control here.
// Owns routing and the socket; what things mean is registry, twins, deployments and event-log.

import { httpBodyBytesMax, hubFollowersMax } from '../../limits.ts';
import { edgeHubId, type Identity } from '../../model/address.ts';
import { errorMessage } from '../../model/errors.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../../model/json.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Entropy } from '../../platform/entropy.ts';
import type { Http, HttpRequest, HttpResponse, HttpServer } from '../../platform/http.ts';
import type { Log } from '../../platform/log.ts';
import type { Deployments } from '../deployments.ts';
import { invalidArgument, limitReached } from '../errors.ts';
import type { EventLog } from '../event-log.ts';
import type { Presence } from '../ports.ts';
import type { QueueImport } from '../queue-import.ts';
import type { IdentityRecord, Registry } from '../registry.ts';
import { twinJson } from '../twin-json.ts';
import type { Twins } from '../twins.ts';
import { Calls, type CallsPorts } from './calls.ts';
import { bodyInvalid, errorResponse, isInternal, requestUnknown } from './errors.ts';
import { eventStream } from './event-stream.ts';
import {
  deviceJson,
  etagOf,
  moduleJson,
  type PlaceFacts,
  type Presented,
  readIdentitySettings,
  readTwinPatch,
  twinFacts,
  twinVersionOf,
} from './shapes.ts';

export interface HubApiPorts extends CallsPorts {
  readonly http: Http;
  readonly registry: Registry;
  readonly twins: Twins;
  readonly deployments: Deployments;
  readonly eventLog: EventLog;
  readonly imports: QueueImport;
  readonly presence: Presence;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly log: Log;
  /** Facts only the composition root knows: host name, ports, where the CA certificate lies. */
  readonly facts: () => JsonObject;
}

const socketMode = 0o600;

export class HubApi {
  readonly #ports: HubApiPorts;
  readonly #socketPath: string;
  readonly #calls: Calls;
  #server: HttpServer | undefined;
  #followers = 0;

  constructor(ports: HubApiPorts, options: { readonly socketPath: string }) {
    this.#ports = ports;
    this.#socketPath = options.socketPath;
    this.#calls = new Calls(ports);
  }

  async start(): Promise<void> {
    this.#server = await this.#ports.http.serve({
      endpoint: { kind: 'unix', path: this.#socketPath, mode: socketMode },
      bodyBytesMax: httpBodyBytesMax,
      handler: (request) => this.handle(request),
    });
  }

  /** Ends all streams and stops answering. */
  async close(): Promise<void> {
    await this.#server?.close();
    this.#server = undefined;
  }

  /** Answers one request; every failure becomes an answer. */
  async handle(request: HttpRequest): Promise<HttpResponse> {
    const { log, clock, entropy } = this.#ports;
    try {
      return await (this.#calls.answer(request) ?? this.#route(request));
    } catch (error) {
      const trackingId = entropy.uuid();
      if (isInternal(error)) {
        log.error('a request failed', {
          method: request.method,
          path: request.segments.join('/'),
          trackingId,
          detail: errorMessage(error),
        });
      }
      return errorResponse(error, { trackingId, nowMs: clock.wallMs() });
    }
  }

  #route(request: HttpRequest): HttpResponse {
    const { method, segments } = request;
    const [root, deviceId, third, fourth, ...rest] = segments;
    if (rest.length === 0 && root === 'devices' && deviceId !== undefined) {
      if (third === undefined) return this.#device(request, deviceId);
      if (third === 'modules' && fourth === undefined && method === 'GET') return this.#modules(deviceId);
      if (third === 'modules' && fourth !== undefined) return this.#module(request, { deviceId, moduleId: fourth });
      if (third === 'applyConfigurationContent' && fourth === undefined && method === 'POST')
        return this.#apply(request, deviceId);
    }
    if (rest.length === 0 && root === 'twins' && deviceId !== undefined) {
      if (third === undefined) return this.#twin(request, { deviceId });
      if (third === 'modules' && fourth !== undefined) return this.#twin(request, { deviceId, moduleId: fourth });
    }
    if (segments.length === 1 && method === 'GET') {
      if (root === 'devices') return this.#devices(request);
      if (root === 'events') return this.#events(request);
      if (root === 'status') return this.#status();
    }
    if (segments.length === 1 && method === 'POST' && root === 'imports') return this.#import(request);
    throw requestUnknown(method, `/${segments.join('/')}`);
  }

  #devices({ query }: HttpRequest): HttpResponse {
    const top = query.get('top');
    if (top !== null && !/^[1-9]\d{0,5}$/.test(top)) throw invalidArgument(`top=${top} must be a whole number from 1.`);
    const devices = this.#ports.registry.devices({
      after: query.get('after') ?? '',
      ...(top === null ? {} : { top: Number(top) }),
    });
    return json(devices.map((record) => deviceJson(this.#presented(record))));
  }

  #device(request: HttpRequest, deviceId: string): HttpResponse {
    const { registry } = this.#ports;
    const ifMatch = etagOf(request.headers['if-match']);
    if (request.method === 'GET') return this.#deviceAnswer(registry.get({ deviceId }));
    if (request.method === 'DELETE') {
      registry.delete({ deviceId }, ifMatch);
      return { status: 204 };
    }
    if (request.method !== 'PUT') throw requestUnknown(request.method, `/devices/${deviceId}`);
    const settings = readIdentitySettings(readObject(request.body), { deviceId }, this.#place(deviceId));
    return this.#deviceAnswer(
      ifMatch === undefined
        ? registry.createDevice(deviceId, settings)
        : registry.update({ deviceId }, settings, ifMatch),
    );
  }

  #modules(deviceId: string): HttpResponse {
    return json(this.#ports.registry.modules(deviceId).map((record) => moduleJson(this.#presented(record))));
  }

  #module(request: HttpRequest, identity: { readonly deviceId: string; readonly moduleId: string }): HttpResponse {
    const { registry } = this.#ports;
    const { deviceId, moduleId } = identity;
    const ifMatch = etagOf(request.headers['if-match']);
    if (request.method === 'GET') return this.#moduleAnswer(registry.get(identity));
    if (request.method === 'DELETE') {
      registry.delete(identity, ifMatch);
      return { status: 204 };
    }
    if (request.method !== 'PUT') throw requestUnknown(request.method, `/devices/${deviceId}/modules/${moduleId}`);
    const settings = readIdentitySettings(readObject(request.body), identity, this.#place(deviceId));
    return this.#moduleAnswer(
      ifMatch === undefined
        ? registry.createModule(deviceId, moduleId, settings)
        : registry.update(identity, settings, ifMatch),
    );
  }

  #apply(request: HttpRequest, deviceId: string): HttpResponse {
    const parsed = parseJson(request.body);
    if (!parsed.ok) throw bodyInvalid(parsed.reason);
    const outcome = this.#ports.deployments.apply(deviceId, parsed.value);
    return request.query.get('outcome') === 'true' ? json({ ...outcome }) : { status: 204 };
  }

  #twin(request: HttpRequest, identity: Identity): HttpResponse {
    const { registry, twins } = this.#ports;
    const record = registry.get(identity);
    if (request.method === 'GET') return this.#twinAnswer(record);
    const { method, segments } = request;
    if (method !== 'PATCH' && method !== 'PUT') throw requestUnknown(method, `/${segments.join('/')}`);
    const change = readTwinPatch(readObject(request.body));
    const expected = twinVersionOf(request.headers['if-match']);
    if (method === 'PATCH') twins.patch(identity, change, expected);
    else twins.replace(identity, change, expected);
    return this.#twinAnswer(record);
  }

  #events({ query, signal }: HttpRequest): HttpResponse {
    const { eventLog, clock } = this.#ports;
    const follow = query.get('follow') === 'true';
    const afterOffset = eventLog.positionOf(query.get('from') ?? (follow ? 'latest' : 'earliest'));
    if (this.#followers >= hubFollowersMax) {
      throw limitReached(
        `${hubFollowersMax} readers follow the event log already. End one of them.`,
        'ThrottlingException',
      );
    }
    const lines = eventStream({
      eventLog,
      clock,
      afterOffset,
      deviceId: query.get('device') ?? undefined,
      follow,
      signal,
    });
    return { status: 200, headers: { 'content-type': 'application/x-ndjson' }, body: this.#counted(lines) };
  }

  async *#counted(lines: AsyncIterable<string>): AsyncGenerator<string, void, undefined> {
    this.#followers += 1;
    try {
      yield* lines;
    } finally {
      this.#followers -= 1;
    }
  }

  #import({ query, body }: HttpRequest): HttpResponse {
    const name = query.get('file');
    if (name === null || name === '') throw invalidArgument('file= must name the queue file.');
    return json({ file: name, ...this.#ports.imports.take(name, Buffer.from(body, 'base64')) });
  }

  #status(): HttpResponse {
    const { registry, eventLog, facts } = this.#ports;
    const { firstOffset, nextOffset, events, bytes, dropped, repeated } = eventLog.facts();
    return json({
      ...facts(),
      devices: registry.deviceCount(),
      readers: this.#followers,
      eventLog: { firstOffset, nextOffset, events, bytes, dropped, repeated },
    });
  }

  #place(deviceId: string): PlaceFacts {
    const { registry } = this.#ports;
    return {
      isEdge: registry.find({ deviceId })?.edge ?? false,
      generationOf: (gatewayId) => registry.find({ deviceId: gatewayId })?.generationId,
    };
  }

  /** A gateway is connected when its `$edgeHub` is: that is the one connection it makes. */
  #presented(record: IdentityRecord): Presented {
    const { presence, registry, devicebound } = this.#ports;
    const { deviceId, moduleId } = record.identity;
    const own = presence.isConnected(record.identity);
    const asGateway = moduleId === undefined && record.edge && presence.isConnected({ deviceId, moduleId: edgeHubId });
    const gatewayId = record.edge ? deviceId : record.parent;
    const gateway = gatewayId === undefined ? undefined : registry.find({ deviceId: gatewayId });
    const scope = gateway && { deviceId: gateway.identity.deviceId, generationId: gateway.generationId };
    const waiting = moduleId === undefined ? devicebound.waiting(deviceId) : 0;
    return { record, isConnected: own || asGateway, scope, waiting };
  }

  #deviceAnswer(record: IdentityRecord): HttpResponse {
    return json(deviceJson(this.#presented(record)), record.etag);
  }

  #moduleAnswer(record: IdentityRecord): HttpResponse {
    return json(moduleJson(this.#presented(record)), record.etag);
  }

  #twinAnswer(record: IdentityRecord): HttpResponse {
    const twin = twinJson(this.#ports.twins.read(record.identity), twinFacts(this.#presented(record)));
    return json(twin, String(twin['etag']));
  }
}

function json(value: JsonValue | object, etag?: string): HttpResponse {
  return { status: 200, headers: etag === undefined ? {} : { etag: `"${etag}"` }, body: JSON.stringify(value) };
}

function readObject(body: string): JsonObject {
  const parsed = parseJson(body === '' ? '{}' : body);
  if (!parsed.ok) throw bodyInvalid(parsed.reason);
  if (!isJsonObject(parsed.value)) throw bodyInvalid('it must be an object');
  return parsed.value;
}
