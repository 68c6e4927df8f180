// The host of a built-in module: everything between the module's own code and the runtime's sockets.
//
//   module ─send()─► outbox ─► link (MQTT, SAS token) ─► broker          link.ts, outbox.ts
//          ◄─desired()────── twin client ◄──────────────                 twin-client.ts
//          ◄─onInput(), onMethod() ─────────────────────
//
// Every telemetry message gets a place in a stream that is new with each life of the process
// (`$.hop=<module>.<uuid>:<n>`) and keeps it through repetitions, so that a message whose acknowledgement was
// lost is recognised and not stored twice. The same n is its `sequenceNumber`, beside the life's `batchId`: a
// reader at the far end can prove from these two that nothing is missing.
//
// End: close() ends the module, drains outbox and reported properties for at most moduleDrainMs, disconnects.

import { moduleDrainMs, moduleInflightMax, moduleOutboxBytesMax, moduleOutboxMessagesMax } from '../limits.ts';
import { errorCode, errorMessage } from '../model/errors.ts';
import type { JsonObject, JsonValue } from '../model/json.ts';
import { pause } from '../model/pause.ts';
import type { Clock } from '../platform/clock.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Http } from '../platform/http.ts';
import type { Log } from '../platform/log.ts';
import type { Network } from '../platform/net.ts';
import type { SerialPorts } from '../platform/serial.ts';
import { encodePropertyBag } from '../protocol/iothub/property-bag.ts';
import {
  desiredPatchFilter,
  inputFilter,
  methodRequestFilter,
  methodResponseTopic,
  parseServerTopic,
  telemetryTopic,
  twinResponseFilter,
} from '../protocol/iothub/topics.ts';
import type { MqttClient } from '../protocol/mqtt/client.ts';
import type { ConfigProblem, ModuleContext, ModuleDefinition, OutgoingMessage, RunningModule } from './contract.ts';
import { type Environment, type ModuleEnvironment, readEnvironment } from './environment.ts';
import { Inbound } from './inbound.ts';
import { Link, type LinkMessage } from './link.ts';
import { Outbox } from './outbox.ts';
import { TwinClient } from './twin-client.ts';
import { WorkloadClient } from './workload-client.ts';

export interface ModulePorts {
  readonly network: Network;
  readonly http: Http;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly log: Log;
  readonly serial: SerialPorts;
  /** Calls back when the process is asked to end (SIGTERM). */
  onTerminate(listener: () => void): void;
}

type Outcome = 'acknowledged' | 'dropped';

interface QueuedMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly bytes: number;
  readonly settle: (outcome: Outcome) => void;
}

interface Subscription {
  readonly filter: string;
  readonly qos: 0 | 1;
}

const twinFilters: readonly Subscription[] = [
  { filter: twinResponseFilter, qos: 0 },
  { filter: desiredPatchFilter, qos: 0 },
];
const refusedGrant = 0x80;
const drainStepMs = 20;
const dropReportMs = 60_000;
const uuidShort = 8;
const statusConfigGood = 200;
const statusConfigBad = 400;
/** Problems shown in the twin: the first ones; a section's size is limited. */
const problemsShownMax = 20;

export class ModuleHost {
  readonly #definition: ModuleDefinition;
  readonly #ports: ModulePorts;
  readonly #env: ModuleEnvironment;
  readonly #environment: Environment;
  readonly #outbox = new Outbox<QueuedMessage>({
    messagesMax: moduleOutboxMessagesMax,
    bytesMax: moduleOutboxBytesMax,
  });
  readonly #twin: TwinClient;
  readonly #link: Link;
  readonly #inbound: Inbound;
  readonly #desiredListeners: ((desired: JsonObject) => void)[] = [];
  readonly #batchId: string;
  readonly #stream: string;
  #sequence = 0;
  #dropped = 0;
  #droppedReported = 0;
  #droppedReportedMs = Number.NEGATIVE_INFINITY;
  #session: MqttClient | undefined;
  #underWay = 0;
  #module: Promise<RunningModule | undefined> | undefined;
  /** The module has started: its handlers are there. */
  #isListening = false;
  #fail: (error: unknown) => void = () => undefined;
  /** Resolves when the module's start() failed: the process has nothing to do then. */
  readonly failed: Promise<unknown>;
  #closed: Promise<void> | undefined;

  /** Throws MODULES_ENVIRONMENT when a variable is missing or wrong. */
  constructor(definition: ModuleDefinition, ports: ModulePorts, env: Environment) {
    const { clock, entropy, log } = ports;
    this.failed = new Promise((resolve) => {
      this.#fail = resolve;
    });
    this.#definition = definition;
    this.#ports = ports;
    this.#environment = env;
    this.#env = readEnvironment(env);
    this.#batchId = entropy.uuid();
    this.#stream = streamName(this.#env.identity.moduleId, entropy.uuid());
    this.#inbound = new Inbound(log);
    this.#twin = new TwinClient({ clock, log, onDesired: (desired) => this.#onDesired(desired) });
    const workload = new WorkloadClient(ports.http, this.#env);
    this.#link = new Link({ network: ports.network, clock, entropy, log, workload }, this.#env, {
      onUp: (session) => this.#onUp(session),
      onMessage: (message) => this.#onMessage(message),
      onDown: () => this.#onDown(),
    });
  }

  start(): void {
    this.#link.start();
  }

  /** Idempotent; resolves when the module has ended, what could be drained is drained and the link is closed. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const { clock, log } = this.#ports;
    const module = await this.#module;
    await module?.close();
    const deadlineMs = clock.monotonicMs() + moduleDrainMs;
    while (this.#session !== undefined && this.#isBusy() && clock.monotonicMs() < deadlineMs) {
      this.#pump();
      this.#twin.flush();
      await pause(clock, drainStepMs);
    }
    await this.#link.close();
    const lost = this.#outbox.clear();
    for (const message of lost) message.settle('dropped');
    log.info('ended', { sent: this.#sequence - this.#dropped - lost.length, lost: lost.length });
  }

  #isBusy(): boolean {
    return this.#outbox.messages > 0 || this.#twin.isReporting;
  }

  #onDesired(desired: JsonObject): void {
    if (this.#module === undefined) this.#module = this.#startModule();
    else for (const listener of this.#desiredListeners) listener(desired);
  }

  async #startModule(): Promise<RunningModule | undefined> {
    const { log } = this.#ports;
    try {
      const module = await this.#definition.start(this.#context());
      this.#isListening = true;
      if (this.#session !== undefined) void this.#subscribe(this.#session, this.#workFilters());
      return module;
    } catch (error) {
      log.error('the module cannot start', { code: errorCode(error), reason: errorMessage(error) });
      this.#fail(error);
      return undefined;
    }
  }

  #context(): ModuleContext {
    const { log, clock, entropy, network, serial } = this.#ports;
    return {
      identity: this.#env.identity,
      environment: this.#environment,
      log,
      clock,
      entropy,
      network,
      serial,
      desired: () => this.#twin.desired,
      onDesired: (listener) => void this.#desiredListeners.push(listener),
      reportProperties: (patch) => this.#twin.report(patch),
      reportConfig: (problems) => this.#reportConfig(problems),
      send: (output, message) => this.#send(output, message),
      onInput: (input, handler) => this.#inbound.onInput(input, handler),
      onMethod: (method, handler) => this.#inbound.onMethod(method, handler),
      ready: () => log.info('ready', { module: this.#definition.name }),
    };
  }

  #reportConfig(problems: readonly ConfigProblem[]): void {
    const isGood = problems.length === 0;
    const description = isGood ? 'in force' : `${problems.length} mistake(s); the last good section stays in force`;
    const errors: JsonValue = problems.slice(0, problemsShownMax).map(({ path, message }) => ({ path, message }));
    const status = { code: isGood ? statusConfigGood : statusConfigBad, description, errors };
    this.#twin.report({ configStatus: status });
    for (const { path, message } of problems) this.#ports.log.error('wrong desired property', { path, message });
  }

  #send(output: string, message: OutgoingMessage): Promise<Outcome> {
    if (this.#closed !== undefined && this.#session === undefined) return Promise.resolve('dropped');
    this.#sequence += 1;
    const bag = encodePropertyBag({
      system: {
        ...(message.contentType === undefined ? {} : { contentType: message.contentType }),
        ...(message.contentEncoding === undefined ? {} : { contentEncoding: message.contentEncoding }),
      },
      output,
      hop: { stream: this.#stream, sequence: this.#sequence },
      properties: {
        batchId: this.#batchId,
        sequenceNumber: String(this.#sequence),
        ...message.properties,
      },
    });
    const topic = telemetryTopic(this.#env.identity, bag);
    const payload = typeof message.body === 'string' ? Buffer.from(message.body, 'utf8') : message.body;
    return new Promise((settle) => {
      const dropped = this.#outbox.push({ topic, payload, bytes: topic.length + payload.length, settle });
      for (const lost of dropped) lost.settle('dropped');
      if (dropped.length > 0) this.#countDropped(dropped.length);
      this.#pump();
    });
  }

  #countDropped(count: number): void {
    const { clock, log } = this.#ports;
    this.#dropped += count;
    this.#twin.report({ outboxDropped: this.#dropped });
    if (clock.monotonicMs() - this.#droppedReportedMs < dropReportMs) return;
    log.warn('the outbox is full: the oldest messages are dropped', {
      dropped: this.#dropped - this.#droppedReported,
      droppedInAll: this.#dropped,
    });
    this.#droppedReported = this.#dropped;
    this.#droppedReportedMs = clock.monotonicMs();
  }

  /** Publishes from the outbox while there is room in the window. */
  #pump(): void {
    const session = this.#session;
    while (session !== undefined && this.#underWay < moduleInflightMax) {
      const message = this.#outbox.take();
      if (message === undefined) return;
      void this.#publish(session, message);
    }
  }

  async #publish(session: MqttClient, message: QueuedMessage): Promise<void> {
    this.#underWay += 1;
    try {
      await session.publish({ topic: message.topic, payload: message.payload, qos: 1 });
      if (this.#outbox.acknowledge(message)) message.settle('acknowledged');
    } catch (error) {
      // The link's end puts it back into the outbox; nothing is lost here.
      this.#ports.log.debug('a publish was not acknowledged', { code: errorCode(error) });
    }
    if (session !== this.#session) return;
    this.#underWay -= 1;
    this.#pump();
  }

  #onUp(session: MqttClient): void {
    this.#session = session;
    this.#underWay = 0;
    this.#pump();
    void this.#open(session);
  }

  /** The twin first. Inputs and methods once the module has its handlers: what came before would find nobody. */
  async #open(session: MqttClient): Promise<void> {
    const filters = this.#isListening ? [...twinFilters, ...this.#workFilters()] : twinFilters;
    const isOpen = await this.#subscribe(session, filters);
    if (!isOpen || session !== this.#session) return;
    this.#twin.up(({ topic, payload }) => this.#publishOnce(session, topic, payload));
  }

  #workFilters(): readonly Subscription[] {
    return [
      { filter: methodRequestFilter, qos: 0 },
      { filter: inputFilter(this.#env.identity), qos: 1 },
    ];
  }

  /** False when the link ended meanwhile. */
  async #subscribe(session: MqttClient, filters: readonly Subscription[]): Promise<boolean> {
    const { log } = this.#ports;
    try {
      const granted = await session.subscribe(filters);
      const refused = filters.filter((_, index) => (granted[index] ?? refusedGrant) >= refusedGrant);
      for (const { filter } of refused) log.error('the broker refused a subscription', { filter });
      return true;
    } catch (error) {
      log.debug('the link ended while subscribing', { code: errorCode(error) });
      return false;
    }
  }

  #onDown(): void {
    if (this.#closed === undefined) {
      this.#ports.log.warn('disconnected from the broker', { outbox: this.#outbox.messages });
    }
    this.#session = undefined;
    this.#outbox.rewind();
    this.#twin.down();
  }

  async #onMessage({ topic, payload }: LinkMessage): Promise<void> {
    const parsed = parseServerTopic(topic);
    switch (parsed?.kind) {
      case 'twin-response':
        return this.#twin.response(parsed, payload);
      case 'desired-patch':
        return this.#twin.desiredPatch(parsed.version, payload);
      case 'method-request': {
        const session = this.#session;
        const { status, body } = await this.#inbound.call(parsed.name, payload);
        if (session !== undefined) this.#publishOnce(session, methodResponseTopic(status, parsed.rid), body);
        return;
      }
      case 'input':
        return this.#inbound.deliver(parsed, payload);
      case 'devicebound':
      case undefined:
        this.#ports.log.debug('a message nobody asked for', { topic });
    }
  }

  #publishOnce(session: MqttClient, topic: string, payload: Uint8Array): void {
    // QoS 0: when the link ends first, the asking side asks again.
    session.publish({ topic, payload, qos: 0 }).catch(() => undefined);
  }
}

/** `<module>.<8 hex digits>`, cut to what a stream name may hold. */
function streamName(moduleId: string, uuid: string): string {
  const name = moduleId.replace(/[^A-Za-z0-9_-]/g, '-').slice(0, 48);
  return `${name}.${uuid.replaceAll('-', '').slice(0, uuidShort)}`;
}
