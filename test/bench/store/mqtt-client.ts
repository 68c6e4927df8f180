// MQTT clients in a process of their own, of one broker at a time; weir and its peer get the same ones.
//
//   publish   QoS 1 messages, so many without PUBACK for each client, or a rate; counts PUBACKs
//   count     subscribes, counts what comes: how fast between the first and the last
//   twin      IoT Hub's twin requests, all at QoS 0, at a rate; how long until each answer
//
// Bytes are made and read here and not by a codec: PUBLISH is one template with other packet ids, and of what comes
// only types and lengths matter. CONNECT and SUBSCRIBE, once each, are mqtt-packet's.

import { Buffer } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { generate } from 'mqtt-packet';

export interface ClientIdentity {
  readonly clientId: string;
  readonly username?: string;
  readonly password?: string;
  readonly topic: string;
}

interface ClientOrder {
  readonly mode: 'publish' | 'count' | 'twin';
  /** A unix socket, or a port of 127.0.0.1, with TLS when there is an authority to trust. */
  readonly path?: string;
  readonly port?: number;
  readonly authorityFile?: string;
  readonly clients: readonly ClientIdentity[];
  readonly bytes: number;
  readonly window: number;
  /** Messages (requests) a second of all clients together; 0: closed loop. */
  readonly rate: number;
  readonly seconds: number;
  readonly warmup: number;
  /** Ends after so many acknowledged (arrived). */
  readonly count: number;
  /** At which the counter subscribes. */
  readonly qos: 0 | 1;
}

const defaults = { bytes: 250, window: 100, rate: 0, seconds: 2, warmup: 0.5, count: 0, qos: 0 } as const;
const packetTypes = { connack: 2, publish: 3, puback: 4, suback: 9 } as const;
const packetIdMax = 0xffff;
const pubackHead = 0x4002;
const pubackBytes = 4;
const lengthMore = 0x80;
const lengthBits = 7;
const msPerSecond = 1000;
const tickMs = 1;
const connectTimeoutMs = 20_000;
const drainTimeoutMs = 60_000;

/** Remaining lengths as MQTT writes them (3.1.1, 2.2.3). */
function lengthBytes(length: number): number[] {
  const bytes: number[] = [];
  let rest = length;
  do {
    const low = rest % lengthMore;
    rest = Math.floor(rest / lengthMore);
    bytes.push(rest > 0 ? low | lengthMore : low);
  } while (rest > 0);
  return bytes;
}

/** Cuts a stream into packets: type and body of each. */
class PacketStream {
  #rest: Buffer = Buffer.alloc(0);
  readonly #onPacket: (type: number, body: Buffer) => void;

  constructor(onPacket: (type: number, body: Buffer) => void) {
    this.#onPacket = onPacket;
  }

  take(bytes: Buffer): void {
    const input = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    let at = 0;
    for (;;) {
      let [length, shift, next] = [0, 0, at + 1];
      let byte = lengthMore;
      while (byte >= lengthMore && next < input.length) {
        byte = input[next] ?? 0;
        length += (byte % lengthMore) * 2 ** shift;
        shift += lengthBits;
        next += 1;
      }
      if (byte >= lengthMore || next + length > input.length) break;
      this.#onPacket((input[at] ?? 0) >> 4, input.subarray(next, next + length));
      at = next + length;
    }
    this.#rest = input.subarray(at);
  }
}

class Client {
  readonly #identity: ClientIdentity;
  readonly #frame: Buffer;
  readonly #packetIdAt: number;
  readonly #sentAtMs = new Float64Array(packetIdMax + 1);
  #socket: Socket | undefined;
  #packetId = 0;
  /** PUBLISHes without PUBACK. */
  waiting = 0;
  onAcknowledged: (latencyMs: number) => void = () => undefined;
  onPublish: (body: Buffer) => void = () => undefined;
  onReady: () => void = () => undefined;

  constructor(identity: ClientIdentity, bytes: number) {
    this.#identity = identity;
    const topic = Buffer.from(identity.topic);
    const length = 2 + topic.length + 2 + bytes;
    const head = [0x32, ...lengthBytes(length), topic.length >> 8, topic.length & 0xff];
    this.#packetIdAt = head.length + topic.length;
    this.#frame = Buffer.concat([Buffer.from(head), topic, Buffer.alloc(2), randomBytes(bytes)]);
  }

  /** Acknowledges what one read of the socket brought, at once. */
  acknowledge(packetIds: readonly number[]): void {
    const acks = Buffer.alloc(packetIds.length * pubackBytes);
    for (const [at, packetId] of packetIds.entries()) {
      acks.writeUInt16BE(pubackHead, at * pubackBytes);
      acks.writeUInt16BE(packetId, at * pubackBytes + 2);
    }
    this.#socket?.write(acks);
  }

  /** Resolves when the broker has answered the SUBSCRIBE (`filter`) or the CONNECT. */
  connect(where: Pick<ClientOrder, 'path' | 'port' | 'authorityFile' | 'qos'>, filter?: string): Promise<void> {
    const { clientId, username, password } = this.#identity;
    const socket = socketTo(where);
    this.#socket = socket;
    const hello = { cmd: 'connect', clientId, clean: true, keepalive: 0, protocolVersion: 4 } as const;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new TypeError(`${clientId}: no answer`)), connectTimeoutMs);
      this.onReady = () => {
        clearTimeout(timer);
        resolve();
      };
      const input = new PacketStream((type, body) =>
        this.#take({ type, body, filter, qos: where.qos, refuse: reject }),
      );
      socket.on('data', (bytes: Buffer) => input.take(bytes));
      socket.on('error', reject);
      socket.on('close', () => reject(new TypeError(`${clientId}: the broker closed the connection`)));
      const secret = username === undefined ? {} : { username, password: Buffer.from(password ?? '') };
      socket.write(generate({ ...hello, ...secret }));
    });
  }

  #take(packet: {
    readonly type: number;
    readonly body: Buffer;
    readonly filter: string | undefined;
    readonly qos: 0 | 1;
    readonly refuse: (error: Error) => void;
  }): void {
    const { type, body, filter } = packet;
    if (type === packetTypes.puback) {
      this.waiting -= 1;
      this.onAcknowledged(performance.now() - (this.#sentAtMs[body.readUInt16BE(0)] ?? 0));
    } else if (type === packetTypes.publish) this.onPublish(body);
    else if (type === packetTypes.suback) this.onReady();
    else if (type === packetTypes.connack) {
      if (body[1] !== 0) packet.refuse(new TypeError(`${this.#identity.clientId}: CONNACK ${body[1]}`));
      else if (filter === undefined) this.onReady();
      else {
        const subscriptions = [{ topic: filter, qos: packet.qos }];
        this.#socket?.write(generate({ cmd: 'subscribe', messageId: 1, subscriptions }));
      }
    }
  }

  publish(count: number): void {
    const frames: Buffer[] = [];
    const nowMs = performance.now();
    for (let number = 0; number < count; number++) {
      this.#packetId = this.#packetId === packetIdMax ? 1 : this.#packetId + 1;
      const frame = Buffer.from(this.#frame);
      frame.writeUInt16BE(this.#packetId, this.#packetIdAt);
      this.#sentAtMs[this.#packetId] = nowMs;
      frames.push(frame);
    }
    this.waiting += count;
    this.#socket?.write(frames.length === 1 ? (frames[0] ?? '') : Buffer.concat(frames));
  }

  send(bytes: Buffer): void {
    this.#socket?.write(bytes);
  }
}

function socketTo({ path, port = 0, authorityFile }: Pick<ClientOrder, 'path' | 'port' | 'authorityFile'>): Socket {
  if (path !== undefined) return connect({ path });
  const where = { host: '127.0.0.1', port, noDelay: true };
  if (authorityFile === undefined) return connect(where);
  return connectTls({ ...where, servername: 'localhost', ca: readFileSync(authorityFile) });
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

/** Of sorted or unsorted values. */
function percentile(values: readonly number[], part: number): number | undefined {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
}

async function publish(order: ClientOrder, clients: readonly Client[]): Promise<object> {
  const latencies: number[] = [];
  let [acknowledged, measuring] = [0, false];
  let open = true;
  for (const client of clients)
    client.onAcknowledged = (latencyMs) => {
      acknowledged += 1;
      if (measuring) latencies.push(latencyMs);
    };
  // A window that is half empty is filled in one write, as a client that reads its socket in turns does it.
  const refill = (): void => {
    for (const client of clients) if (client.waiting <= order.window / 2) client.publish(order.window - client.waiting);
    if (open) setImmediate(refill);
  };
  await Promise.all(clients.map((client) => client.connect(order)));
  const pace = order.rate === 0 ? undefined : paced(order, clients, () => open);
  if (pace === undefined) refill();
  const startMs = performance.now();
  while (performance.now() - startMs < order.warmup * msPerSecond) await pause(tickMs);
  measuring = true;
  const [before, measuredMs] = [acknowledged, performance.now()];
  const endMs = order.count > 0 ? Infinity : measuredMs + order.seconds * msPerSecond;
  while (performance.now() < endMs && (order.count === 0 || acknowledged < order.count)) await pause(tickMs);
  measuring = false;
  const perSecond = ((acknowledged - before) / (performance.now() - measuredMs)) * msPerSecond;
  open = false;
  await pace;
  const deadlineMs = performance.now() + drainTimeoutMs;
  while (clients.some(({ waiting }) => waiting > 0) && performance.now() < deadlineMs) await pause(tickMs);
  const unacknowledged = clients.reduce((sum, { waiting }) => sum + waiting, 0);
  return {
    acknowledged,
    unacknowledged,
    perSecond,
    megabytesPerSecond: (perSecond * order.bytes) / 1_000_000,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
  };
}

async function paced(order: ClientOrder, clients: readonly Client[], isOpen: () => boolean): Promise<void> {
  const startMs = performance.now();
  let sent = 0;
  while (isOpen()) {
    const due = ((performance.now() - startMs) / msPerSecond) * order.rate;
    for (; sent < due; sent++) {
      const client = clients[sent % clients.length];
      // Full windows hold the sender back, as a client's own limit would.
      if (client !== undefined && client.waiting < order.window) client.publish(1);
    }
    await pause(tickMs);
  }
}

async function count(order: ClientOrder, clients: readonly Client[]): Promise<object> {
  let [arrived, firstMs, lastMs] = [0, 0, 0];
  const waiting: number[] = [];
  const [client] = clients;
  const [identity] = order.clients;
  if (client === undefined || identity === undefined) throw new TypeError('count needs a client');
  client.onPublish = (body) => {
    if (order.qos === 1) {
      if (waiting.length === 0) setImmediate(() => client.acknowledge(waiting.splice(0)));
      waiting.push(body.readUInt16BE(2 + body.readUInt16BE(0)));
    }
    lastMs = performance.now();
    if (arrived === 0) firstMs = lastMs;
    arrived += 1;
  };
  await client.connect(order, identity.topic);
  process.stderr.write('listening\n');
  const deadlineMs = performance.now() + order.seconds * msPerSecond;
  while (arrived < order.count && performance.now() < deadlineMs) await pause(tickMs);
  return { arrived, perSecond: ((arrived - 1) / (lastMs - firstMs)) * msPerSecond };
}

async function twin(order: ClientOrder, clients: readonly Client[]): Promise<object> {
  const [client] = clients;
  if (client === undefined) throw new TypeError('twin needs a client');
  const dueAtMs = new Map<number, number>();
  const latencies: number[] = [];
  client.onPublish = (body) => {
    const topic = body.toString('latin1', 2, 2 + body.readUInt16BE(0));
    const rid = Number(/\$rid=(\d+)/.exec(topic)?.[1]);
    const dueMs = dueAtMs.get(rid);
    if (dueMs !== undefined) latencies.push(performance.now() - dueMs);
    dueAtMs.delete(rid);
  };
  await client.connect(order, '$iothub/twin/res/#');
  const startMs = performance.now() + order.warmup * msPerSecond;
  let asked = 0;
  for (;;) {
    const nowMs = performance.now();
    if (nowMs > startMs + order.seconds * msPerSecond) break;
    for (let dueMs = startMs; dueMs <= nowMs; asked++) {
      dueMs = startMs + (asked / order.rate) * msPerSecond;
      if (dueMs > nowMs) break;
      // Counted from when it was due: a process that comes late does not hide what it waited for.
      dueAtMs.set(asked, dueMs);
      const topic = `$iothub/twin/GET/?$rid=${asked}`;
      const packet = { cmd: 'publish', topic, payload: '', qos: 0, dup: false, retain: false } as const;
      client.send(generate(packet));
    }
    await pause(tickMs);
  }
  const deadlineMs = performance.now() + drainTimeoutMs;
  while (dueAtMs.size > 0 && performance.now() < deadlineMs) await pause(tickMs);
  return {
    answered: latencies.length,
    unanswered: dueAtMs.size,
    perSecond: latencies.length / order.seconds,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
    highestMs: percentile(latencies, 1),
  };
}

async function main(): Promise<void> {
  const order: ClientOrder = { ...defaults, ...(JSON.parse(process.argv[2] ?? '{}') as ClientOrder) };
  const clients = order.clients.map((identity) => new Client(identity, order.bytes));
  const measures = { publish, count, twin };
  const result = await measures[order.mode](order, clients);
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
}

void main().catch((error: unknown) => {
  process.stderr.write(`mqtt-client: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
