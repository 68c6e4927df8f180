// Hops end to end: module → route with a condition → input of a module, and → the queue to a hub that is away.
//
// The gateway is the executable, with a store on a disk: every message of the first hop is on it before its PUBACK.
// mosquitto does the same hop from a publisher to a subscriber at QoS 1, with its database copied each second, which
// promises less. The processor time is that of the whole gateway (or broker), for each message that arrived.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JsonObject } from '../../../src/model/json.ts';
import { figure, type Result } from '../figures.ts';
import { type Children, child } from '../store/child.ts';
import { Gateway } from '../store/gateway.ts';
import { leaveSession, loadClients, loadTopics, startMosquitto } from '../store/mosquitto.ts';

export interface HopOptions {
  readonly children: Children;
  readonly directory: string;
  readonly messages: number;
}

const bytes = 250;
const publishers = 4;
const window = 50;
const leadMs = 1500;
const timeoutSeconds = 120;
const microsecondsPerTick = 10_000;
const properties = 'temperature=21.4&kind=alarm&sequenceNumber=17';

/** Routes for the hops and, beside them, as many for other modules as `size` asks for and a twin of 32 KiB holds. */
export function hopRoutes(size: number): { readonly routes: JsonObject; readonly count: number } {
  const condition = "kind = 'alarm' AND as_number(temperature) > 20";
  const entries: [string, string][] = [
    ['input', `FROM /messages/modules/load0/* WHERE ${condition} INTO BrokeredEndpoint("/modules/load4/inputs/in")`],
    ...Array.from({ length: publishers - 1 }, (_, at): [string, string] => [
      `input${at + 1}`,
      `FROM /messages/modules/load${at + 1}/* WHERE ${condition} INTO BrokeredEndpoint("/modules/load4/inputs/in")`,
    ]),
    ['up', `FROM /messages/modules/load5/* WHERE ${condition} INTO $upstream`],
  ];
  for (let at = entries.length; at < size; at++) {
    entries.push([`r${at}`, `FROM /messages/modules/m${at}/* WHERE a > 'b' INTO $upstream`]);
  }
  let kept = entries;
  while (Buffer.byteLength(JSON.stringify(Object.fromEntries(kept))) > twinRoomBytes) kept = kept.slice(0, -1);
  return { routes: Object.fromEntries(kept), count: kept.length };
}

const twinRoomBytes = 32_000;

/** Both hops of a gateway with so many routes. */
export async function gatewayHops(
  options: HopOptions,
  size: number,
): Promise<{ readonly toInput: Result; readonly toQueue: Result }> {
  const running = await Gateway.start({ modules: publishers + 2, routes: hopRoutes(size).routes });
  try {
    running.world.line.cut();
    const path = running.socketPath;
    const senders = running.clients.map((client) => ({ ...client, topic: `${client.topic}${properties}` }));
    const sink = running.clients[publishers];
    if (sink === undefined) throw new TypeError('there is a module to send to');
    const listener = {
      ...sink,
      topic: `devices/${running.world.deviceId}/modules/load${publishers}/inputs/#`,
    };
    const pid = running.world.gateway?.pid ?? 0;
    const toInput = await hop(options, { where: { path }, senders: senders.slice(0, publishers), listener, pid });
    const before = cpuMicroseconds(pid);
    const filled = await child(options.children, 'mqtt-client', {
      mode: 'publish',
      path,
      bytes,
      window: window * publishers,
      clients: senders.slice(publishers + 1),
      count: options.messages,
      warmup: 0,
    });
    const acknowledged = figure(filled, 'acknowledged') ?? NaN;
    const toQueue = { ...filled, cpuMicroseconds: (cpuMicroseconds(pid) - before) / acknowledged };
    return { toInput, toQueue };
  } finally {
    await running.close();
  }
}

/** The first hop on mosquitto. */
export async function mosquittoHop(options: HopOptions): Promise<Result> {
  const broker = await startMosquitto(join(options.directory, 'mosquitto'), { saving: 'each-second' });
  try {
    const senders = loadClients(publishers);
    const listener = { clientId: 'listener', topic: loadTopics };
    return await hop(options, { where: { port: broker.port }, senders, listener, pid: broker.pid });
  } finally {
    await broker.end();
  }
}

/** The second: for a client that is away. */
export async function mosquittoQueue(options: HopOptions): Promise<Result> {
  const broker = await startMosquitto(join(options.directory, 'mosquitto-queue'), { saving: 'each-second' });
  try {
    await leaveSession(broker.port);
    const before = cpuMicroseconds(broker.pid);
    const filled = await child(options.children, 'mqtt-client', {
      mode: 'publish',
      port: broker.port,
      bytes,
      window: window * publishers,
      clients: loadClients(1),
      count: options.messages,
      warmup: 0,
    });
    const acknowledged = figure(filled, 'acknowledged') ?? NaN;
    return { ...filled, cpuMicroseconds: (cpuMicroseconds(broker.pid) - before) / acknowledged };
  } finally {
    await broker.end();
  }
}

interface Hop {
  readonly where: { readonly path?: string; readonly port?: number };
  readonly senders: readonly object[];
  readonly listener: object;
  readonly pid: number;
}

async function hop({ children, messages }: HopOptions, { where, senders, listener, pid }: Hop): Promise<Result> {
  const counted = child(children, 'mqtt-client', {
    mode: 'count',
    qos: 1,
    ...where,
    clients: [listener],
    count: messages,
    seconds: timeoutSeconds,
  });
  await new Promise((resolve) => setTimeout(resolve, leadMs));
  const before = cpuMicroseconds(pid);
  const order = { mode: 'publish', bytes, window, clients: senders, count: messages, warmup: 0 };
  const [arrived, published] = await Promise.all([counted, child(children, 'mqtt-client', { ...order, ...where })]);
  const count = figure(arrived, 'arrived') ?? NaN;
  return {
    ...arrived,
    accepted: figure(published, 'acknowledged'),
    acceptedPerSecond: figure(published, 'perSecond'),
    cpuMicroseconds: (cpuMicroseconds(pid) - before) / count,
  };
}

/** Of a process, all threads and the kernel on its behalf. */
function cpuMicroseconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const columns = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // utime and stime, the 14th and 15th column of all.
  return (Number(columns[11]) + Number(columns[12])) * microsecondsPerTick;
}
