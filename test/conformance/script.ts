// What a conformance case is made of: steps of clients, read like the exchange they are.
//
//   both('…', { v4: '3.3.1-6', v5: '3.3.1-9' }, (p, a, b) => [
//     a.up(),                                          CONNECT, CONNACK 0
//     a.sends(p.publish('t', 'x', { retain: true })),
//     b.up(),
//     b.sends(p.subscribe(1, [['t', 0]])),
//     b.gets(p.suback(1, [0]), p.publish('t', 'x', { retain: true })),
//   ])
//
// At the end of a case no client may have received anything more, and no connection may have been closed that the
// case does not tell of.

import type { Broker } from '../../src/broker/broker.ts';
import type { Frame } from './links.ts';
import { type ConnectFields, type Octets, Packets, type Properties, packetType, shown } from './packets.ts';
import { fault, isSame, parts, shownPacket } from './received.ts';
import type { BrokerOptions, StageKind } from './stage.ts';
import type { SpecVersion } from './statement.ts';

/** A stage with a broker, clocks and connections, that steps play on. */
export interface Stage {
  readonly bindings: Map<string, readonly [number, number]>;
  /** A new network connection of the client `name`; a former one stays as it is. */
  open(name: string, subprotocols?: string): void;
  send(name: string, octets: Octets, chunkBytes?: number): Promise<void>;
  /** The next packet for `name`, or undefined when none comes. */
  next(name: string): Promise<Buffer | undefined>;
  /** Every packet for `name` once everything sent so far had its effect. */
  all(name: string): Promise<readonly Buffer[]>;
  /** Waits until the broker closed the connection of `name`; false when it does not. */
  closed(name: string): Promise<boolean>;
  /** Waits until everything sent so far had its effect. */
  quiet(): Promise<void>;
  /** The network connection of `name` breaks. */
  drop(name: string): Promise<void>;
  advance(ms: number): Promise<void>;
  readonly broker: Broker;
  /** Over WebSocket only: a frame of the case's own making. */
  frame(name: string, frame: Frame): void;
  /** Over WebSocket only: what the server selected. */
  subprotocol(name: string): string | undefined;
}

export interface Step {
  readonly text: string;
  /** Rejects with what was wrong. */
  play(stage: Stage): Promise<void>;
}

export interface Refusal {
  /** Return code of 3.1.1; undefined closes without a word. */
  readonly v4: number | undefined;
  /** Reason codes of 5.0 of which the broker answers one. */
  readonly v5: readonly number[];
}

export interface UpFields extends Partial<ConnectFields> {
  readonly present?: boolean;
  /** What CONNACK of 5.0 must have, byte for byte. */
  readonly has?: Properties;
  /** Identifiers of properties that CONNACK must not have. */
  readonly lacks?: readonly number[];
}

const step = (text: string, play: (stage: Stage) => Promise<void>): Step => ({ text, play });

/** Time passes. */
export const wait = (ms: number): Step => step(`${ms} ms pass`, (stage) => stage.advance(ms));

/** Something happens on the broker's side. */
export const act = (text: string, play: (stage: Stage) => void | Promise<void>): Step =>
  step(text, async (stage) => {
    await play(stage);
    await stage.quiet();
  });

/** Everything sent so far has its effect first. */
export const settled = (): Step => step('everything settles', (stage) => stage.quiet());

/** One client of a case; its name is its client id. */
export class Client {
  readonly name: string;
  readonly #p: Packets;

  constructor(name: string, p: Packets) {
    this.name = name;
    this.#p = p;
  }

  /** Connects and is accepted. */
  up(fields: UpFields = {}): Step {
    const { present = false, has = [], lacks = [], ...connect } = fields;
    const octets = this.#p.connect({ id: this.name, ...connect });
    return step(`${this.name} connects: ${shown(octets)}`, async (stage) => {
      stage.open(this.name);
      await stage.send(this.name, octets);
      const got = await this.#next(stage);
      checkConnack(got, { version: this.#p.version, present, has, lacks });
    });
  }

  /** A connection without a packet on it; over WebSocket it offers `subprotocols`. */
  opens(subprotocols?: string): Step {
    return step(`${this.name} opens a connection`, async (stage) => stage.open(this.name, subprotocols));
  }

  sends(...packets: readonly Octets[]): Step {
    const octets = packets.flat();
    return step(`${this.name} sends ${shown(octets)}`, (stage) => stage.send(this.name, octets));
  }

  /** The same in pieces of `chunkBytes`, each a read of its own. */
  sendsInPieces(chunkBytes: number, ...packets: readonly Octets[]): Step {
    const octets = packets.flat();
    return step(`${this.name} sends in pieces ${shown(octets)}`, (stage) => stage.send(this.name, octets, chunkBytes));
  }

  gets(...packets: readonly Octets[]): Step {
    return step(`${this.name} gets ${packets.map(shown).join(' | ')}`, async (stage) => {
      for (const expected of packets) {
        const got = await this.#next(stage);
        const { bindings } = stage;
        const { version } = this.#p;
        if (!isSame(expected, got, { version, bindings })) {
          throw new Error(`${this.name} should have got ${shown(expected)}, but got ${shownPacket(got)}`);
        }
      }
    });
  }

  /** The same, in whatever order they come. */
  getsInAnyOrder(...packets: readonly Octets[]): Step {
    return step(`${this.name} gets, in any order, ${packets.map(shown).join(' | ')}`, async (stage) => {
      const missing = [...packets];
      while (missing.length > 0) {
        const got = await this.#next(stage);
        const { bindings } = stage;
        const { version } = this.#p;
        const at = missing.findIndex((expected) => isSame(expected, got, { version, bindings }));
        if (at < 0)
          throw new Error(`${this.name} got ${shownPacket(got)}, which is none of ${missing.map(shown).join(' | ')}`);
        missing.splice(at, 1);
      }
    });
  }

  /** A packet that `check` finds in order: it returns what is wrong. */
  getsWhat(text: string, check: (packet: Buffer, stage: Stage) => string | undefined): Step {
    return step(`${this.name} gets ${text}`, async (stage) => {
      const got = await this.#next(stage);
      const wrong = check(got, stage);
      if (wrong !== undefined) throw new Error(`${this.name} got ${shownPacket(got)}: ${wrong}`);
    });
  }

  /** Nothing comes, and the connection stays. */
  silent(): Step {
    return step(`${this.name} gets nothing`, async (stage) => {
      const [got] = await stage.all(this.name);
      if (got !== undefined) throw new Error(`${this.name} got ${shownPacket(got)}`);
    });
  }

  closed(): Step {
    return step(`the connection of ${this.name} is closed`, (stage) => this.#closed(stage));
  }

  /** The broker ends the connection: in 5.0 by DISCONNECT with one of `reasons`. */
  ends(...reasons: readonly number[]): Step {
    const text = reasons.map((reason) => `0x${reason.toString(16)}`).join(' or ');
    return step(`the broker disconnects ${this.name}${this.#p.is5 ? ` with ${text}` : ''}`, async (stage) => {
      if (this.#p.version === '5.0') {
        const got = await this.#next(stage);
        const { type, reasons: sent } = parts([...got], this.#p.version);
        if (type !== packetType.disconnect || !reasons.includes(sent[0] as number)) {
          throw new Error(`${this.name} should have got DISCONNECT ${text}, but got ${shownPacket(got)}`);
        }
      }
      await this.#closed(stage);
    });
  }

  /** The CONNECT that was sent is refused, and the connection closed. */
  refused({ v4, v5 }: Refusal): Step {
    return step(`${this.name} is refused`, async (stage) => {
      const got = await stage.next(this.name);
      const is5 = this.#p.version === '5.0';
      if (got === undefined) {
        if (!is5 && v4 !== undefined) throw new Error(`${this.name} got no CONNACK with return code ${v4}`);
      } else {
        const { type, reasons } = parts([...got], this.#p.version);
        const expected = is5 ? v5 : [v4];
        const wrong = fault(got, this.#p.version);
        if (type !== packetType.connack || !expected.includes(reasons[0] as number) || wrong !== undefined) {
          throw new Error(
            `${this.name} should have been refused with ${expected}, but got ${shownPacket(got)} ${wrong ?? ''}`,
          );
        }
      }
      await this.#closed(stage);
    });
  }

  /** The network connection breaks. */
  lost(): Step {
    return step(`the connection of ${this.name} breaks`, (stage) => stage.drop(this.name));
  }

  /** DISCONNECT, and the connection is gone. */
  leaves(reason = 0, props?: Properties): Step {
    const octets = this.#p.disconnect(reason, props);
    return step(`${this.name} leaves: ${shown(octets)}`, async (stage) => {
      await stage.send(this.name, octets);
      await this.#closed(stage);
    });
  }

  async #next(stage: Stage): Promise<Buffer> {
    const got = await stage.next(this.name);
    if (got === undefined) throw new Error(`${this.name} got nothing`);
    const wrong = fault(got, this.#p.version);
    if (wrong !== undefined) throw new Error(`${this.name} got ${shownPacket(got)}: ${wrong}`);
    return got;
  }

  async #closed(stage: Stage): Promise<void> {
    const more = await stage.next(this.name);
    if (more !== undefined) throw new Error(`${this.name} got ${shownPacket(more)} instead of a closed connection`);
    if (!(await stage.closed(this.name))) throw new Error(`the connection of ${this.name} stays open`);
  }
}

function checkConnack(
  got: Buffer,
  {
    version,
    present,
    has,
    lacks,
  }: { version: SpecVersion; present: boolean; has: Properties; lacks: readonly number[] },
): void {
  const { type, head, reasons, properties } = parts([...got], version);
  const accepted = type === packetType.connack && reasons[0] === 0;
  if (!accepted) throw new Error(`no CONNACK that accepts, but ${shownPacket(got)}`);
  if (head[0] !== (present ? 1 : 0)) throw new Error(`session present is ${head[0]}: ${shownPacket(got)}`);
  if (version !== '5.0') return;
  const missing = has.find((want) => !properties.some((property) => property.join() === want.join()));
  if (missing !== undefined) throw new Error(`CONNACK lacks the property ${shown(missing)}: ${shownPacket(got)}`);
  const extra = properties.find((property) => lacks.includes(property[0] as number));
  if (extra !== undefined) throw new Error(`CONNACK has the property ${shown(extra)}`);
}

/** A conformance case of one version. */
export interface ConformanceCase {
  readonly name: string;
  readonly version: SpecVersion;
  /** Full identifiers. */
  readonly clauses: readonly string[];
  readonly steps: readonly Step[];
  readonly broker: BrokerOptions;
  readonly over: readonly StageKind[];
}

/** Clauses without `MQTT-`, by blanks. */
export interface Clauses {
  readonly v4?: string;
  readonly v5?: string;
}

type Script = (p: Packets, a: Client, b: Client, c: Client) => readonly Step[];

interface CaseOptions {
  readonly broker?: BrokerOptions;
  /** Where it is played, instead of wherever it can. */
  readonly over?: readonly StageKind[];
}

/** The same exchange in every version that has clauses. */
export function both(
  name: string,
  { v4, v5 }: Clauses,
  script: Script,
  options: CaseOptions = {},
): readonly ConformanceCase[] {
  const cases: ConformanceCase[] = [];
  if (v4 !== undefined) cases.push(one(name, ['3.1.1', v4], script, options));
  if (v5 !== undefined) cases.push(one(name, ['5.0', v5], script, options));
  return cases;
}

function one(
  name: string,
  [version, clauses]: readonly [SpecVersion, string],
  script: Script,
  { broker = {}, over }: CaseOptions,
): ConformanceCase {
  const p = new Packets(version);
  const steps = script(p, new Client('a', p), new Client('b', p), new Client('c', p));
  const timed = steps.some(({ text }) => text.endsWith(' ms pass'));
  return {
    name,
    version,
    clauses: clauses.split(' ').map((clause) => `MQTT-${clause}`),
    steps,
    broker,
    over:
      over ??
      (timed || Object.keys(broker).length > 0 ? ['memory', 'stored'] : ['memory', 'stored', 'tcp', 'websocket']),
  };
}
