// A broker under attack: the executable, a witness pair that must not notice, and what memory may grow to.
//
//   attacker ─► broker ◄─► witness pair: one message of QoS 1 after the other, each acknowledged and received
//
// The witness sends its next message a moment after the last one made it both ways; exchanged(n) waits for n more, so
// that a test knows they were exchanged during the attack and not beside it. It also reads $SYS.

import type { Test } from 'tap';
import { until } from '../support/world/program.ts';
import { StandaloneBroker, type StandaloneOptions } from '../support/world/standalone.ts';
import { RawClient } from './raw-client.ts';

export const kibibyte = 1024;
export const mebibyte = 1_048_576;
/** Exchanges that show that the witness is served. */
export const enough = 20;
const pauseMs = 2;
const waitMs = 180_000;
const sysPrefix = '$SYS/broker/';

/**
 * What memory may grow by beside that which a limit names: V8's young generation, garbage that is not collected yet,
 * pools of buffers, code that was not compiled before.
 */
export const slackBytes = 112 * mebibyte;

export class Witness {
  readonly #sender: RawClient;
  readonly #receiver: RawClient;
  readonly #sys = new Map<string, string>();
  readonly faults: string[] = [];
  sent = 0;
  received = 0;
  #acknowledged = 0;
  #stopping = false;
  #stopped: () => void = () => undefined;
  #watchers: (() => void)[] = [];

  private constructor(sender: RawClient, receiver: RawClient) {
    this.#sender = sender;
    this.#receiver = receiver;
    receiver.onPublish = ({ topic, payload, messageId }) => {
      const text = payload.toString();
      if (topic.startsWith(sysPrefix)) this.#sys.set(topic.slice(sysPrefix.length), text);
      else {
        if (text !== String(this.received)) this.faults.push(`${text} came instead of ${this.received}`);
        this.received++;
        receiver.send({ cmd: 'puback', messageId: messageId ?? 0 });
        this.#next();
      }
      for (const watch of [...this.#watchers]) watch();
    };
    sender.onPacket = ({ cmd }) => {
      if (cmd !== 'puback') return;
      this.#acknowledged++;
      this.#next();
    };
    for (const [name, client] of Object.entries({ sender, receiver }))
      void client.closed.then(() => {
        if (!this.#stopping) this.faults.push(`the ${name} was disconnected`);
        for (const watch of [...this.#watchers]) watch();
      });
  }

  static async start(port: number): Promise<Witness> {
    const sender = await RawClient.connected({ port }, { clientId: 'witness-sender' });
    const receiver = await RawClient.connected({ port }, { clientId: 'witness-receiver' });
    const witness = new Witness(sender, receiver);
    await receiver.subscribe(['witness', `${sysPrefix}#`], 1);
    witness.#send();
    return witness;
  }

  /** Resolves when `count` more messages were acknowledged and received. */
  async exchanged(count = enough): Promise<void> {
    const goal = this.received + count;
    await this.#when(`${count} exchanges of the witness`, () => this.received >= goal || undefined);
  }

  /** Waits until $SYS says a number of which `isSo` holds; the number. */
  sys(name: string, isSo: (value: number) => boolean): Promise<number> {
    return this.#when(`$SYS ${name}, now ${this.#sys.get(name)}`, () => {
      const value = Number(this.#sys.get(name));
      return isSo(value) ? value : undefined;
    });
  }

  /** What $SYS said last. */
  last(name: string): number {
    return Number(this.#sys.get(name));
  }

  /** Ends after the message that is under way. */
  async stop(): Promise<void> {
    if (this.faults.length === 0) {
      await new Promise<void>((resolve) => {
        this.#stopped = resolve;
        this.#stopping = true;
        for (const client of [this.#sender, this.#receiver]) void client.closed.then(resolve);
      });
    }
    this.#stopping = true;
    await Promise.all([this.#sender.drop(), this.#receiver.drop()]);
  }

  #send(): void {
    if (this.#stopping) {
      this.#stopped();
      return;
    }
    const payload = String(this.sent++);
    const messageId = (this.sent % 1000) + 1;
    this.#sender.send({ cmd: 'publish', topic: 'witness', payload, qos: 1, dup: false, retain: false, messageId });
  }

  #next(): void {
    if (this.received === this.sent && this.#acknowledged === this.sent) setTimeout(() => this.#send(), pauseMs);
  }

  #when<T>(what: string, look: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const end = (error: Error | undefined, value?: T): void => {
        clearTimeout(timer);
        this.#watchers = this.#watchers.filter((other) => other !== watch);
        if (error === undefined) resolve(value as T);
        else reject(error);
      };
      const watch = (): void => {
        const found = this.faults.length > 0 ? undefined : look();
        if (this.faults.length > 0) end(new TypeError(this.faults.join(', ')));
        else if (found !== undefined) end(undefined, found);
      };
      const timer = setTimeout(() => end(new TypeError(`never came: ${what}`)), waitMs);
      this.#watchers.push(watch);
      watch();
    });
  }
}

export interface SiegeOptions extends StandaloneOptions {
  readonly logLevel?: string;
}

export class Siege {
  readonly broker: StandaloneBroker;
  readonly witness: Witness;
  readonly #t: Test;
  readonly #clients: RawClient[] = [];
  #rssBefore = 0;
  #filesBefore = 0;

  private constructor(t: Test, broker: StandaloneBroker, witness: Witness) {
    this.#t = t;
    this.broker = broker;
    this.witness = witness;
  }

  static async lay(t: Test, options: SiegeOptions = {}): Promise<Siege> {
    const { toml = '', logLevel = 'error' } = options;
    const broker = await StandaloneBroker.start(t, {
      ...options,
      toml: `sys_interval = "200ms"\nlog_level = "${logLevel}"\n${toml}`,
    });
    const witness = await Witness.start(broker.port());
    await witness.exchanged();
    const siege = new Siege(t, broker, witness);
    siege.#rssBefore = broker.memory().rssBytes;
    siege.#filesBefore = broker.openFiles();
    broker.resetPeak();
    return siege;
  }

  get port(): number {
    return this.broker.port();
  }

  /** Clients in their sessions, closed at the end. */
  async client(packet: Parameters<RawClient['connect']>[0] = {}, version: 4 | 5 = 5): Promise<RawClient> {
    const client = await RawClient.connected({ port: this.port, version }, packet);
    this.#clients.push(client);
    return client;
  }

  /** A stream on which nothing was said. */
  async stream(options: { readonly port?: number; readonly tls?: boolean } = {}): Promise<RawClient> {
    const client = await RawClient.open({ port: this.port, ...options });
    this.#clients.push(client);
    return client;
  }

  /** `count` of what `make` makes, some at a time. */
  async many<T>(count: number, make: (index: number) => Promise<T>): Promise<T[]> {
    const made: T[] = [];
    for (let from = 0; from < count; from += sideBySide) {
      const size = Math.min(sideBySide, count - from);
      made.push(...(await Promise.all(Array.from({ length: size }, (_, at) => make(from + at)))));
    }
    return made;
  }

  /** How much the process has grown at its highest since the siege began. */
  get grownBytes(): number {
    return this.broker.memory().peakBytes - this.#rssBefore;
  }

  /** Memory never exceeded what it was by more than `bytes`, which limits name, and the slack. */
  grewAtMost(bytes: number, what: string): void {
    const grown = this.grownBytes;
    const told = `grew by ${(grown / mebibyte).toFixed(0)} MiB, at most ${((bytes + slackBytes) / mebibyte).toFixed(0)}`;
    this.#t.comment(told);
    this.#t.ok(grown <= bytes + slackBytes, `${what}: ${told}`);
  }

  /**
   * The attack is over: the witness lost nothing, the broker has closed what the attackers left, still lets clients in
   * and ends in order.
   */
  async lift(): Promise<void> {
    const t = this.#t;
    await Promise.all(this.#clients.map((client) => client.drop()));
    await this.witness.exchanged();
    await until(
      'the connections to be closed',
      waitMs,
      () => this.broker.openFiles() <= this.#filesBefore || undefined,
    );
    await this.witness.sys('clients/connected', (count) => count === 2);
    const late = await RawClient.connected({ port: this.port });
    t.same(await late.subscribe(['late'], 1), [1], 'a new client is served');
    await late.leave();
    await this.witness.stop();
    t.same(this.witness.faults, [], 'the witness noticed nothing');
    t.equal(this.witness.received, this.witness.sent);
    t.ok(this.broker.running);
    t.equal(await this.broker.end(), 0, 'it ends in order');
  }
}

const sideBySide = 100;
