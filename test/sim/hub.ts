// The hub at the far end of a simulated line: the network in between, and a log that remembers positions.
//
// It speaks MQTT with the real UpstreamLink over simulated connections, and keeps what it takes in a log with the
// hub's own position table (src/hub/positions.ts), position and message in one transaction. What the weather and
// the operator do to it is drawn: a line that is cut, flaps, or swallows everything without a word; a hub that
// refuses connections, takes a part of what is under way and hangs up, takes it without acknowledging, or is slow. It is
// one of weir's, which takes frames, or one that has never heard of them; and some frames it refuses.

import { Buffer } from 'node:buffer';
import type { HubDatabase } from '../../src/hub/database.ts';
import { Positions } from '../../src/hub/positions.ts';
import { packetBytesMax } from '../../src/limits.ts';
import type { Message } from '../../src/model/message.ts';
import type { Connection, ConnectionSink, Network } from '../../src/platform/net.ts';
import { decodePropertyBag } from '../../src/protocol/iothub/property-bag.ts';
import { decodeTelemetryFrame, frameFilter, framesTakenTopic } from '../../src/protocol/iothub/telemetry-frame.ts';
import { parseDeviceTopic } from '../../src/protocol/iothub/topics.ts';
import { encodeAck } from '../../src/protocol/mqtt/ack.ts';
import { lengthFieldBytes, PacketCarry, packetType, typeShift } from '../../src/protocol/mqtt/frame.ts';
import { decodePacket, encodePacket } from '../../src/protocol/mqtt/packet.ts';
import { PublishView } from '../../src/protocol/mqtt/publish.ts';
import type { SimTime } from './time.ts';

const refused = 3;
/** What the kernel gives an attempt that nobody answers. */
const dialMsMax = 127_000;

export interface HubEvents {
  /** Logged, and not seen before. */
  onLogged(message: Message): void;
  onRepeated(message: Message): void;
  trace(text: string): void;
}

export class SimHub {
  readonly #time: SimTime;
  readonly #events: HubEvents;
  readonly #database: HubDatabase;
  readonly #positions: Positions;
  readonly #lines = new Set<Line>();
  // ── the weather ──
  reachable = true;
  /** New connections and all there are lead nowhere. */
  swallows = false;
  latencyMs = 10;
  /** Milliseconds that each message takes on the line. */
  messageMs = 0;
  /** It says so to each who subscribes. */
  takesFrames = false;
  /** Of the frames, each so-manieth is refused as a whole; undefined: none. */
  refusesFrames: number | undefined;
  /** That came, and of them refused. */
  frames = 0;
  framesRefused = 0;
  // ── the hub's moods ──
  refusesConnections = false;
  ackDelayMs = 0;
  /** After so many messages it takes no more and hangs up. */
  takesMax: number | undefined;
  /** After so many messages it takes what comes, acknowledges nothing and hangs up soon. */
  acksMax: number | undefined;

  constructor(time: SimTime, database: HubDatabase, events: HubEvents) {
    this.#time = time;
    this.#database = database;
    this.#events = events;
    this.#positions = new Positions({ database: this.#database, clock: this.#clock });
  }

  get #clock() {
    const time = this.#time;
    return {
      wallMs: () => time.wallMs,
      machineWallMs: () => time.wallMs,
      wallTrusted: () => true,
      monotonicMs: () => time.nowMs,
      bootId: 'hub',
      setTimer: (delayMs: number, callback: () => void) => time.after(delayMs, callback),
      soon: (callback: () => void) => void time.after(0, callback),
    };
  }

  /** The network of one process of the device: silent once `isAlive` says no. */
  network(isAlive: () => boolean): Network {
    return {
      listen: () => Promise.reject(new Error('nothing listens here')),
      dial: (_endpoint, sink) => this.#dial(sink, isAlive),
    };
  }

  /** Ends every connection: both ends learn of it. */
  cut(): void {
    for (const line of [...this.#lines]) line.cut('the line was cut');
  }

  /** Everything under way and to come on the present connections is lost without a word. */
  freeze(): void {
    for (const line of this.#lines) line.frozen = true;
  }

  /** A connection that lost something stays lost: its stream has a hole. */
  speakAgain(): void {
    if (this.swallows) this.freeze();
    this.swallows = false;
  }

  heal(): void {
    this.reachable = true;
    this.speakAgain();
    this.refusesConnections = false;
    this.refusesFrames = undefined;
    this.takesMax = undefined;
    this.acksMax = undefined;
    this.ackDelayMs = 0;
    this.latencyMs = 10;
    this.messageMs = 0;
  }

  get connected(): boolean {
    return [...this.#lines].some((line) => !line.frozen && line.isOpen);
  }

  /** Takes all of them or none; false: it hangs up instead. */
  take(messages: readonly Message[]): boolean {
    if (this.takesMax !== undefined) {
      this.takesMax -= messages.length;
      if (this.takesMax < 0) {
        this.takesMax = undefined;
        return false;
      }
    }
    const fresh = new Set(this.#database.transaction(() => this.#positions.advance(messages)));
    for (const message of messages) {
      if (fresh.has(message)) this.#events.onLogged(message);
      else this.#events.onRepeated(message);
    }
    return true;
  }

  /** Whether the frame that came now is one of those it refuses. */
  refusesFrame(): boolean {
    this.frames++;
    if (this.refusesFrames === undefined || this.frames % this.refusesFrames > 0) return false;
    this.framesRefused++;
    return true;
  }

  close(deviceId: string): void {
    this.cut();
    this.#database.run('DELETE FROM position WHERE device = ?', deviceId);
  }

  #dial(sink: ConnectionSink, isAlive: () => boolean): Connection {
    const line = new Line(this.#time, this, { sink, isAlive, trace: this.#events.trace });
    this.#lines.add(line);
    line.onEnd = () => this.#lines.delete(line);
    if (this.swallows) this.#time.after(dialMsMax, () => line.cut('ETIMEDOUT'));
    else if (!this.reachable) this.#time.after(this.latencyMs, () => line.cut('EHOSTUNREACH'));
    else this.#time.after(this.latencyMs * 2, () => line.open());
    return line;
  }
}

interface LinePorts {
  readonly sink: ConnectionSink;
  readonly isAlive: () => boolean;
  readonly trace: (text: string) => void;
}

/** One connection: the device's end of it, and what the hub does at the other. */
class Line implements Connection {
  readonly remote = 'hub:8883';
  readonly peer = undefined;
  readonly bufferedBytes = 0;
  frozen = false;
  isOpen = false;
  onEnd: () => void = () => undefined;
  readonly #time: SimTime;
  readonly #hub: SimHub;
  readonly #ports: LinePorts;
  readonly #carry = new PacketCarry();
  readonly #view = new PublishView();
  #ended = false;
  #hungUp = false;
  #silent = false;
  /** When the line is free for what is written next, in each direction. */
  #upFreeMs = 0;
  #downFreeMs = 0;

  constructor(time: SimTime, hub: SimHub, ports: LinePorts) {
    this.#time = time;
    this.#hub = hub;
    this.#ports = ports;
  }

  open(): void {
    if (this.#ended) return;
    this.isOpen = true;
    if (this.#ports.isAlive()) this.#ports.sink.onOpen?.();
  }

  cut(reason: string): void {
    if (this.#ended) return;
    this.#end();
    if (this.#ports.isAlive()) this.#ports.sink.onClose(new Error(reason));
  }

  // ── the device's end ──

  write(chunk: Uint8Array): boolean {
    if (this.#ended || !this.#ports.isAlive()) return true;
    const bytes = Buffer.from(chunk);
    this.#upFreeMs = Math.max(this.#upFreeMs, this.#time.nowMs + this.#hub.latencyMs);
    this.#time.after(this.#upFreeMs - this.#time.nowMs, () => this.#arrived(bytes));
    return true;
  }

  pause(): void {}

  resume(): void {}

  end(): void {
    this.#end();
  }

  destroy(): void {
    this.#end();
  }

  #end(): void {
    this.#ended = true;
    this.isOpen = false;
    this.onEnd();
  }

  // ── the hub's end ──

  /** What is on its way arrives, also when the device has closed meanwhile; not when the line was cut or swallows. */
  #arrived(bytes: Buffer): void {
    if (this.#ended || this.frozen || this.#hub.swallows || this.#hungUp) return;
    let at = 0;
    while (at < bytes.length && !this.#hungUp) {
      const taken = this.#carry.fill(bytes, { at, end: bytes.length, packetBytesMax });
      if (typeof taken === 'string') throw new Error(`the link wrote nonsense: ${taken}`);
      at = taken;
      if (this.#carry.isWhole) this.#packet(this.#carry.take());
    }
  }

  #packet(packet: Buffer): void {
    const type = (packet[0] as number) >> typeShift;
    if (type === packetType.publish) {
      this.#published(packet);
      return;
    }
    if (type === packetType.pingreq) {
      this.#reply(Buffer.from([packetType.pingresp << typeShift, 0]));
      return;
    }
    const decoded = decodePacket(packet);
    if (!decoded.ok) throw new Error('the link wrote nonsense');
    if (decoded.packet.cmd === 'connect') {
      const returnCode = this.#hub.refusesConnections ? refused : 0;
      this.#reply(encodePacket({ cmd: 'connack', returnCode, sessionPresent: false }));
    } else if (decoded.packet.cmd === 'subscribe') {
      const granted = decoded.packet.subscriptions.map(() => 0);
      this.#reply(encodePacket({ cmd: 'suback', messageId: decoded.packet.messageId ?? 0, granted }));
      if (this.#hub.takesFrames && decoded.packet.subscriptions.some(({ topic }) => topic === frameFilter))
        this.#reply(framesTaken());
    }
  }

  #published(packet: Buffer): void {
    const bodyAt = 1 + lengthFieldBytes(packet, 1, packet.length);
    const view = this.#view;
    const problem = view.read(packet, { firstByte: packet[0] as number, from: bodyAt, to: packet.length });
    const topic = problem === undefined ? view.topic() : undefined;
    const messages = this.#messages(topic ?? '', Buffer.from(view.payload()));
    if (messages === undefined || !this.#hub.take(messages)) {
      this.#hangUp(messages === undefined ? 'the hub refused a frame' : 'the hub took a part');
      return;
    }
    if (this.#hub.acksMax !== undefined && this.#hub.acksMax-- <= 0) {
      this.#silent = true;
      this.#hub.acksMax = undefined;
      this.#time.after(this.#hub.latencyMs, () => this.#hangUp('the hub took and did not tell'));
    }
    if (!this.#silent) this.#reply(encodeAck(packetType.puback, view.packetId), this.#hub.ackDelayMs);
  }

  /** Undefined: a frame that is refused. */
  #messages(topic: string, payload: Buffer): readonly Message[] | undefined {
    const enqueuedMs = this.#time.wallMs;
    const parsed = parseDeviceTopic(topic);
    if (parsed?.kind === 'telemetry') {
      const { deviceId, moduleId, bag } = parsed;
      return [{ ...readBag(bag), sender: { deviceId, moduleId }, body: payload, enqueuedMs }];
    }
    if (parsed?.kind !== 'frame' || !this.#hub.takesFrames) throw new Error(`the link published on ${topic}`);
    const frame = decodeTelemetryFrame(payload);
    if (!frame.ok) throw new Error(frame.reason);
    if (this.#hub.refusesFrame()) return undefined;
    return frame.messages.map(({ bag, ...message }) => ({ ...readBag(bag), ...message, enqueuedMs }));
  }

  #hangUp(reason: string): void {
    this.#ports.trace(reason);
    this.#hungUp = true;
    this.#time.after(this.#hub.latencyMs, () => this.cut(reason));
  }

  #reply(bytes: Buffer, delayMs = 0): void {
    const hub = this.#hub;
    const busyMs = delayMs > 0 || hub.messageMs > 0 ? hub.messageMs : 0;
    this.#downFreeMs = Math.max(this.#downFreeMs, this.#time.nowMs + hub.latencyMs + delayMs) + busyMs;
    this.#time.after(this.#downFreeMs - this.#time.nowMs, () => {
      if (this.#ended || this.frozen || hub.swallows || !this.#ports.isAlive()) return;
      this.#ports.sink.onData(bytes, bytes.length);
    });
  }
}

function readBag(text: string) {
  const bag = decodePropertyBag(text);
  if (!bag.ok) throw new Error(bag.reason);
  const { system, properties, output, hop } = bag;
  return { system, properties, output, hop };
}

function framesTaken(): Buffer {
  const packet = { topic: framesTakenTopic, payload: Buffer.alloc(0), qos: 0 } as const;
  return encodePacket({ cmd: 'publish', retain: false, dup: false, ...packet });
}
