// A broker for one module at a time, that does what the test tells it: it keeps what is published, answers twin
// requests from a twin of its own, and can withhold acknowledgements or cut the connection.
//
// The workload socket beside it signs like the gateway's. Both live in one directory.

import { createHmac } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { generate, type Packet, parser } from 'mqtt-packet';
import { httpBodyBytesMax } from '../../src/limits.ts';
import type { JsonObject } from '../../src/model/json.ts';
import { mergePatch } from '../../src/model/twin.ts';
import { systemHttp } from '../../src/platform/http.ts';
import { decodePropertyBag } from '../../src/protocol/iothub/property-bag.ts';
import { parseDeviceTopic } from '../../src/protocol/iothub/topics.ts';

export interface Received {
  readonly output: string | undefined;
  readonly hop: string;
  readonly properties: Readonly<Record<string, string>>;
  readonly body: string;
}

export class ScriptedBroker {
  readonly #directory: string;
  readonly received: Received[] = [];
  readonly connects: {
    readonly clientId: string;
    readonly username: string | undefined;
    readonly password: string | undefined;
  }[] = [];
  readonly subscribed: string[] = [];
  readonly methodAnswers: { readonly status: number; readonly rid: string; readonly body: string }[] = [];
  readonly inputsDone: number[] = [];
  readonly signed: string[] = [];
  desired: JsonObject = {};
  desiredVersion = 1;
  reported: JsonObject = {};
  /** Status of the next answers to reported patches. */
  patchStatus = 204;
  acknowledges = true;
  disconnects = 0;
  #server: Server | undefined;
  #socket: Socket | undefined;
  #closeWorkload: (() => Promise<void>) | undefined;
  readonly #watchers = new Set<() => void>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  get environment(): Readonly<Record<string, string>> {
    return {
      IOTEDGE_WORKLOADURI: `unix://${join(this.#directory, 'workload.sock')}`,
      IOTEDGE_DEVICEID: 'gw',
      IOTEDGE_MODULEID: 'sensor',
      IOTEDGE_IOTHUBHOSTNAME: 'hub.example',
      IOTEDGE_AUTHSCHEME: 'sasToken',
      IOTEDGE_MODULEGENERATIONID: '17',
      IOTEDGE_APIVERSION: '2022-08-03',
      WEIR_MQTT_URI: `unix://${join(this.#directory, 'mqtt.sock')}`,
    };
  }

  async start(): Promise<void> {
    await this.listen();
    const server = await systemHttp().serve({
      endpoint: { kind: 'unix', path: join(this.#directory, 'workload.sock'), mode: 0o600 },
      bodyBytesMax: httpBodyBytesMax,
      handler: async ({ segments, query, body }) => {
        this.signed.push(`${segments.join('/')}?api-version=${query.get('api-version') ?? ''}`);
        const { data } = JSON.parse(body) as { readonly data: string };
        const digest = createHmac('sha256', 'key').update(Buffer.from(data, 'base64')).digest('base64');
        return { status: 200, body: JSON.stringify({ digest }) };
      },
    });
    this.#closeWorkload = () => server.close();
  }

  async close(): Promise<void> {
    await this.cut();
    await this.#closeWorkload?.();
  }

  async listen(): Promise<void> {
    const server = createServer((socket) => this.#serve(socket));
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(join(this.#directory, 'mqtt.sock'), resolve));
  }

  /** Ends the connection and stops listening, as a killed broker does. */
  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.#socket?.destroy();
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  }

  /** Ends the connection; the module may come back at once. */
  drop(): void {
    this.#socket?.destroy();
  }

  publish(topic: string, payload: string, qos: 0 | 1 = 0): void {
    this.#send({
      cmd: 'publish',
      topic,
      payload,
      qos,
      retain: false,
      dup: false,
      ...(qos === 1 ? { messageId: 77 } : {}),
    });
  }

  async until<Found>(look: () => Found | undefined | false): Promise<Found> {
    for (;;) {
      const found = look();
      if (found !== undefined && found !== false) return found;
      await new Promise<void>((resolve) => {
        this.#watchers.add(resolve);
      });
    }
  }

  #serve(socket: Socket): void {
    const mine = parser({ protocolVersion: 4 });
    mine.on('packet', (packet: Packet) => {
      this.#packet(packet);
      for (const watcher of this.#watchers) watcher();
      this.#watchers.clear();
    });
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => mine.parse(chunk));
    socket.on('error', () => undefined);
  }

  #packet(packet: Packet): void {
    switch (packet.cmd) {
      case 'connect':
        this.connects.push({
          clientId: packet.clientId,
          username: packet.username,
          password: packet.password?.toString(),
        });
        this.#send({ cmd: 'connack', returnCode: 0, sessionPresent: false });
        return;
      case 'subscribe':
        this.subscribed.push(...packet.subscriptions.map(({ topic }) => topic));
        this.#send({
          cmd: 'suback',
          messageId: packet.messageId ?? 0,
          granted: packet.subscriptions.map(({ qos }) => qos),
        });
        return;
      case 'publish':
        this.#published(packet.topic, packet.payload.toString(), packet.messageId);
        return;
      case 'puback':
        this.inputsDone.push(packet.messageId ?? 0);
        return;
      case 'pingreq':
        this.#send({ cmd: 'pingresp' });
        return;
      case 'disconnect':
        this.disconnects += 1;
        return;
      default:
        throw new Error(`unexpected ${packet.cmd}`);
    }
  }

  #published(topic: string, body: string, messageId: number | undefined): void {
    const parsed = parseDeviceTopic(topic);
    switch (parsed?.kind) {
      case 'telemetry': {
        const bag = decodePropertyBag(parsed.bag);
        if (!bag.ok) throw new Error(bag.reason);
        const hop = bag.hop === undefined ? '' : `${bag.hop.stream}:${bag.hop.sequence}`;
        this.received.push({ output: bag.output, hop, properties: bag.properties, body });
        if (this.acknowledges && messageId !== undefined) this.#send({ cmd: 'puback', messageId });
        return;
      }
      case 'twin-get': {
        const twin = { desired: { ...this.desired, $version: this.desiredVersion }, reported: this.reported };
        this.publish(`$iothub/twin/res/200/?$rid=${parsed.rid}`, JSON.stringify(twin));
        return;
      }
      case 'twin-patch':
        if (this.patchStatus < 300) this.reported = mergePatch(this.reported, JSON.parse(body) as JsonObject);
        this.publish(`$iothub/twin/res/${this.patchStatus}/?$rid=${parsed.rid}&$version=2`, '');
        return;
      case 'method-response':
        this.methodAnswers.push({ status: parsed.status, rid: parsed.rid, body });
        return;
      case 'settlement':
      case 'frame':
      case undefined:
        throw new Error(`unexpected topic ${topic}`);
    }
  }

  #send(packet: Packet): void {
    this.#socket?.write(generate(packet));
  }
}
