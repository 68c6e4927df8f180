// Those who send: with a stream of their own and therefore exactly once, or without and therefore only once at all.
//
// A counting sender hands over in order, several at a time, and after a refusal everything again from the first that
// was not acknowledged, as soon as nothing is under way. When the device died it may repeat what was acknowledged:
// the acknowledgement may have been on the line.

import type { Message, StreamPosition } from '../../src/model/message.ts';
import type { Timer } from '../../src/platform/clock.ts';
import type { Dice } from './dice.ts';
import type { Ledger } from './ledger.ts';
import type { DeviceTime, SimTime } from './time.ts';

export interface SenderPorts {
  readonly time: SimTime;
  readonly device: DeviceTime;
  readonly dice: Dice;
  readonly ledger: Ledger;
  readonly nextId: () => number;
  /** Undefined while the device is down. */
  readonly accept: () => ((message: Message) => Promise<void>) | undefined;
}

export interface SenderOptions {
  readonly deviceId: string;
  readonly module: string;
  readonly output: string;
  readonly counts: boolean;
  readonly bodyBytesMax: number;
  readonly underWayMax: number;
  readonly urgentPart: number;
}

interface Letter {
  readonly id: number;
  readonly hop: StreamPosition | undefined;
  readonly body: Buffer;
  readonly urgent: boolean;
  acknowledged: boolean;
}

const retryMs = 300;
const repeatedMax = 4;

export class SimSender {
  readonly name: string;
  readonly #ports: SenderPorts;
  readonly #options: SenderOptions;
  #letters: Letter[] = [];
  #recent: Letter[] = [];
  #next = 0;
  #sequence = 0;
  #underWay = 0;
  #broken = false;
  #life = 0;
  #retrying: Timer | undefined;

  constructor(ports: SenderPorts, options: SenderOptions) {
    this.#ports = ports;
    this.#options = options;
    this.name = `${options.module}/${options.output}`;
  }

  /** Messages of a counting sender that are not acknowledged. */
  get waiting(): number {
    return this.#letters.length;
  }

  get underWay(): number {
    return this.#underWay;
  }

  send(count: number): void {
    const { dice, ledger, nextId } = this.#ports;
    const { counts, bodyBytesMax, urgentPart, module } = this.#options;
    if (this.#letters.length > 400) return;
    for (let index = 0; index < count; index++) {
      const id = nextId();
      const sequence = ++this.#sequence;
      ledger.sent(id, this.name, sequence);
      const body = Buffer.alloc(1 + dice.skewed(bodyBytesMax), id & 0xff);
      const hop = counts ? { stream: `${module}-life`, sequence } : undefined;
      this.#letters.push({ id, hop, body, urgent: dice.chance(urgentPart), acknowledged: false });
    }
    this.pump();
  }

  /** The device is there again; what it said last may not have come through. */
  reconnect(): void {
    this.#life++;
    this.#underWay = 0;
    this.#broken = false;
    if (!this.#options.counts) this.#letters = this.#letters.slice(this.#next);
    this.#next = 0;
    if (this.#options.counts && this.#ports.dice.chance(0.5)) {
      for (const letter of this.#recent) letter.acknowledged = false;
      this.#letters = [...this.#recent, ...this.#letters];
    }
    this.#recent = [];
    this.pump();
  }

  pump(): void {
    const { counts, underWayMax } = this.#options;
    const accept = this.#ports.accept();
    if (accept === undefined) return;
    if (this.#broken && this.#underWay > 0) return;
    if (this.#broken) {
      this.#broken = false;
      this.#next = 0;
    }
    while (this.#next < this.#letters.length && (!counts || this.#underWay < underWayMax)) {
      const letter = this.#letters[this.#next++] as Letter;
      if (!letter.acknowledged) this.#hand(letter, accept);
    }
    if (!counts) {
      this.#letters = [];
      this.#next = 0;
    }
  }

  #hand(letter: Letter, accept: (message: Message) => Promise<void>): void {
    const life = this.#life;
    this.#underWay++;
    const settled = (ok: boolean): void => {
      if (life !== this.#life) return;
      this.#underWay--;
      if (!this.#options.counts) return;
      if (ok) {
        this.#acknowledged(letter);
        this.pump();
      } else {
        this.#broken = true;
        this.#retryLater();
      }
    };
    accept(this.#message(letter)).then(
      () => settled(true),
      () => settled(false),
    );
  }

  #retryLater(): void {
    if (this.#retrying !== undefined) return;
    this.#retrying = this.#ports.time.after(retryMs, () => {
      this.#retrying = undefined;
      if (this.#underWay > 0) this.#retryLater();
      else this.pump();
    });
  }

  #acknowledged(letter: Letter): void {
    letter.acknowledged = true;
    let done = 0;
    while (this.#letters[done]?.acknowledged === true) done++;
    this.#recent = [...this.#recent, ...this.#letters.slice(0, done)].slice(-repeatedMax);
    this.#letters = this.#letters.slice(done);
    this.#next = Math.max(0, this.#next - done);
  }

  #message({ id, hop, body, urgent }: Letter): Message {
    const { deviceId, module, output } = this.#options;
    return {
      sender: { deviceId, moduleId: module },
      output,
      system: {},
      properties: { n: String(id), ...(urgent ? { 'weir-durable': 'now' } : {}) },
      body,
      enqueuedMs: Math.floor(this.#ports.device.wallMs),
      ...(hop === undefined ? {} : { hop }),
    };
  }
}
