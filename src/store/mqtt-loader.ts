// What was on the disk, put together again: pages of rows from the store thread become sessions and their queues.
//
// Page by page, so that besides the state itself only one page is in memory. A message that several sessions have
// is one piece of memory. Rows that cannot be read are left out and counted, and `mend` names what has to leave
// the disk with them; nothing that is found there can keep a broker from starting.

import { Buffer } from 'node:buffer';
import { ByteReader } from './byte-buffer.ts';
import { readFacts, readLong, readOptions, readSession } from './mqtt-record.ts';
import {
  type DeliveryRecord,
  type MessageRecord,
  type MqttCursor,
  type MqttPage,
  type MqttPart,
  mqttParts,
  type SessionRecord,
  type SubscriptionRecord,
} from './mqtt-shapes.ts';

export type PageSource = (part: MqttPart, after: MqttCursor) => Promise<MqttPage>;

interface Body {
  readonly canonical: Buffer;
  readonly expiresAtMs: number;
}

export interface FoundSession {
  readonly id: number;
  readonly record: SessionRecord;
  readonly subscriptions: SubscriptionRecord[];
  readonly deliveries: DeliveryRecord[];
  readonly receiving: number[];
  /** Ordinals whose message cannot be read. */
  readonly broken: number[];
}

export interface FoundState {
  readonly sessions: ReadonlyMap<number, FoundSession>;
  readonly retained: readonly { readonly topic: string; readonly message: MessageRecord }[];
  readonly damaged: number;
  /** Topics and sessions whose rows cannot be used. */
  readonly mend: { readonly topics: readonly string[]; readonly sessions: ReadonlySet<number> };
  readonly sessionIdMax: number;
  readonly messageIdMax: number;
}

const beginning: MqttCursor = { first: -1, second: -1, text: '' };

export class MqttLoader {
  readonly #source: PageSource;
  readonly #bodies = new Map<number, Body>();
  readonly #sessions = new Map<number, FoundSession>();
  readonly #idByClient = new Map<string, number>();
  readonly #retained: { readonly topic: string; readonly message: MessageRecord }[] = [];
  readonly #topics: string[] = [];
  readonly #strays = new Set<number>();
  #damaged = 0;
  #sessionIdMax = 0;
  #messageIdMax = 0;

  constructor(source: PageSource) {
    this.#source = source;
  }

  async load(): Promise<FoundState> {
    for (const part of mqttParts) {
      for (let after: MqttCursor | undefined = beginning; after !== undefined; ) {
        const page: MqttPage = await this.#source(part, after);
        const reader = new ByteReader(Buffer.from(page.bytes, 0, page.byteLength));
        for (let index = 0; index < page.count; index++) this.#row(part, reader);
        after = page.next;
      }
    }
    return {
      sessions: this.#sessions,
      retained: this.#retained,
      damaged: this.#damaged,
      mend: { topics: this.#topics, sessions: this.#strays },
      sessionIdMax: this.#sessionIdMax,
      messageIdMax: this.#messageIdMax,
    };
  }

  #row(part: MqttPart, reader: ByteReader): void {
    const read = {
      message: () => this.#message(reader),
      session: () => this.#session(reader),
      subscription: () => this.#subscription(reader),
      receiving: () => this.#receiving(reader),
      delivery: () => this.#delivery(reader),
      retained: () => this.#retainedMessage(reader),
    };
    read[part]();
  }

  #message(reader: ByteReader): void {
    const id = readLong(reader);
    const expiresAtMs = reader.float64();
    const whole = reader.byte() === 1;
    const canonical = reader.bytes(reader.uint32());
    this.#messageIdMax = Math.max(this.#messageIdMax, id);
    // A copy: a view would keep its whole page for as long as the message lives.
    if (whole) this.#bodies.set(id, { expiresAtMs, canonical: Buffer.from(canonical) });
    else this.#damaged++;
  }

  #session(reader: ByteReader): void {
    const id = reader.varint();
    const whole = reader.byte() === 1;
    const bytes = reader.bytes(reader.uint32());
    this.#sessionIdMax = Math.max(this.#sessionIdMax, id);
    const record = whole ? sessionOf(bytes) : undefined;
    if (record === undefined) {
      this.#damaged++;
      this.#strays.add(id);
      return;
    }
    // A client has one session; of two the younger is true.
    const older = this.#idByClient.get(record.clientId);
    if (older !== undefined) {
      this.#sessions.delete(older);
      this.#strays.add(older);
    }
    this.#idByClient.set(record.clientId, id);
    this.#sessions.set(id, { id, record, subscriptions: [], deliveries: [], receiving: [], broken: [] });
  }

  #subscription(reader: ByteReader): void {
    const session = this.#of(reader.varint());
    const filter = reader.text();
    const options = reader.byte();
    const subscriptionId = reader.varint();
    try {
      session?.subscriptions.push(readOptions(filter, options, subscriptionId));
    } catch {
      this.#damaged++;
    }
  }

  #receiving(reader: ByteReader): void {
    const session = this.#of(reader.varint());
    const packetId = reader.varint();
    session?.receiving.push(packetId);
  }

  #delivery(reader: ByteReader): void {
    const session = this.#of(reader.varint());
    const ordinal = readLong(reader);
    const body = this.#bodies.get(readLong(reader));
    const facts = reader.byte();
    const packetId = reader.varint();
    const awaiting = reader.byte();
    const subscriptionIds = Array.from({ length: reader.varint() }, () => reader.varint());
    if (session === undefined) return;
    const message = body === undefined ? undefined : messageOf(body, facts, subscriptionIds);
    if (message === undefined) {
      this.#damaged++;
      session.broken.push(ordinal);
      return;
    }
    session.deliveries.push({ ordinal, packetId, awaiting, message });
  }

  #retainedMessage(reader: ByteReader): void {
    const topic = reader.text();
    const body = this.#bodies.get(readLong(reader));
    const facts = reader.byte();
    const message = body === undefined ? undefined : messageOf(body, facts, []);
    if (message !== undefined) this.#retained.push({ topic, message });
    else {
      this.#damaged++;
      this.#topics.push(topic);
    }
  }

  /** The session a row belongs to; rows of one that cannot be read leave the disk with it. */
  #of(id: number): FoundSession | undefined {
    const session = this.#sessions.get(id);
    if (session === undefined) this.#strays.add(id);
    this.#sessionIdMax = Math.max(this.#sessionIdMax, id);
    return session;
  }
}

function sessionOf(bytes: Buffer): SessionRecord | undefined {
  try {
    const record = readSession(bytes);
    const { will } = record;
    return will === undefined ? record : { ...record, will: { ...will, canonical: Buffer.from(will.canonical) } };
  } catch {
    return undefined;
  }
}

function messageOf(body: Body, facts: number, subscriptionIds: readonly number[]): MessageRecord | undefined {
  try {
    return { ...body, ...readFacts(facts), subscriptionIds };
  } catch {
    return undefined;
  }
}
