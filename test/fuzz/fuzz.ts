// make fuzz: as many drawn cases as asked for, over the codec and over whole brokers, until one fails.
//
//   CASES=1000000 SEED=1 node fuzz.cjs
//
// Each case depends on seed and number alone. A packet for the codec is a case, and so is a step of a siege. The
// first failure ends the run with 1: seed, number and bytes are told, a siege is shortened first, and the case is
// kept in the corpus. A watcher in a thread of its own ends a run that stands still.

import { setTimeout as pause } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { checkCodec, drawCodecCase } from './codec.ts';
import { readCorpus, saveCodecCase, saveSiege } from './corpus.ts';
import { drawScript, type Script, scriptText } from './script.ts';
import { playSiege } from './siege.ts';

const cases = Number(process.env['CASES'] ?? '1000000');
const seed = Number(process.env['SEED'] ?? `${Date.now() % 1_000_000_000}`);
/** Cases of the codec between two sieges: four parts of five. */
const codecShare = 4;
const progressMs = 2_000;
const standstillMs = 20_000;
const heapGrowthBytesMax = 64 * 1024 * 1024;
const warmUpCases = 100_000;
const shorteningsMax = 400;

/** Ends the process when `counter` stands still: a hang leaves the main thread no say. */
const watcher = `
const { workerData: counter } = require('node:worker_threads');
let last = -1;
setInterval(() => {
  const now = Atomics.load(counter, 0);
  if (now === last) {
    require('node:fs').writeSync(2, '\\nThe run stands still behind case ' + now + ' of seed ' + counter[1] + ': a hang.\\n');
    process.kill(process.pid, 'SIGKILL');
  }
  last = now;
}, ${standstillMs});
`;

class Run {
  done = 0;
  readonly #counter = new Int32Array(new SharedArrayBuffer(8));
  readonly #startedMs = Date.now();
  #toldMs = 0;
  #codecNumber = 0;
  #siegeNumber = 0;
  #heapBytes = 0;
  /** What failed outside of any call: in a callback or a promise nobody waits for. */
  #astray: unknown;

  async all(): Promise<boolean> {
    this.#counter[1] = seed;
    const watch = new Worker(watcher, { eval: true, workerData: this.#counter });
    for (const event of ['uncaughtException', 'unhandledRejection']) {
      process.on(event, (error: unknown) => {
        this.#astray ??= error;
      });
    }
    process.stdout.write(`fuzz: ${cases} cases of seed ${seed}\n`);
    const passed = (await this.#corpus()) && (await this.#drawn());
    this.#tell(true);
    await watch.terminate();
    return passed;
  }

  async #corpus(): Promise<boolean> {
    const { codec, sieges } = readCorpus();
    for (const one of codec) if (!(await this.#codec(one, undefined))) return false;
    for (const { name, script } of sieges) {
      this.#count(script.length);
      const error = await this.#played(script);
      if (error === undefined) continue;
      this.#failure(`siege, ${name}`, error);
      return false;
    }
    return true;
  }

  async #drawn(): Promise<boolean> {
    const { codec } = readCorpus();
    let ofCodec = 0;
    while (this.done < cases) {
      if (ofCodec <= this.done * (codecShare / (codecShare + 1))) {
        ofCodec++;
        const number = this.#codecNumber++;
        if (!(await this.#codec(drawCodecCase(seed, number, codec), `${seed}-${number}`))) return false;
      } else {
        const number = this.#siegeNumber++;
        if (!(await this.#siege(drawScript(seed, number), `${seed}-${number}`))) return false;
      }
      this.#tell(false);
      if (!this.#heapIsBounded()) return false;
    }
    return true;
  }

  /** `name` is undefined for what the corpus has already. */
  async #codec(one: ReturnType<typeof drawCodecCase>, name: string | undefined): Promise<boolean> {
    this.#count(1);
    try {
      checkCodec(one);
      return true;
    } catch (error) {
      this.#failure(`codec, case ${name ?? 'of the corpus'}`, error);
      process.stderr.write(`version ${one.version}: ${one.bytes.toString('hex')}\n`);
      if (name !== undefined) process.stderr.write(`kept in ${saveCodecCase(name, one)}\n`);
      return false;
    }
  }

  async #siege(script: Script, name: string): Promise<boolean> {
    this.#count(script.length);
    const error = await this.#played(script);
    if (error === undefined) return true;
    const short = await this.#shortened(script);
    this.#failure(`siege, case ${name}`, (await this.#played(short)) ?? error);
    process.stderr.write(`${scriptText(short)}\nkept in ${saveSiege(name, short)}\n`);
    return false;
  }

  async #played(script: Script): Promise<unknown> {
    this.#astray = undefined;
    try {
      await playSiege(script);
    } catch (error) {
      return error;
    }
    await pause(0);
    return this.#astray;
  }

  /** Leaves out steps as long as the rest still fails. */
  async #shortened(script: Script): Promise<Script> {
    let best = script;
    let tries = 0;
    for (let size = best.length >> 1; size >= 1 && tries < shorteningsMax; size >>= 1) {
      for (let at = 0; at < best.length && tries < shorteningsMax; ) {
        const shorter = [...best.slice(0, at), ...best.slice(at + size)];
        tries++;
        Atomics.add(this.#counter, 0, 1);
        if ((await this.#played(shorter)) === undefined) at += size;
        else best = shorter;
      }
    }
    return best;
  }

  #count(more: number): void {
    this.done += more;
    Atomics.store(this.#counter, 0, this.done);
  }

  /** After a warm-up the heap may not grow with the number of cases. Looked at only when collection can be asked for. */
  #heapIsBounded(): boolean {
    if (globalThis.gc === undefined || this.done % warmUpCases > 100 || this.done < warmUpCases) return true;
    globalThis.gc();
    const { heapUsed, external } = process.memoryUsage();
    const bytes = heapUsed + external;
    if (this.#heapBytes === 0) this.#heapBytes = bytes;
    if (bytes - this.#heapBytes < heapGrowthBytesMax) return true;
    process.stderr.write(`\nThe heap grew from ${this.#heapBytes} to ${bytes} bytes: something is kept.\n`);
    return false;
  }

  #tell(last: boolean): void {
    const now = Date.now();
    if (!last && now - this.#toldMs < progressMs) return;
    this.#toldMs = now;
    const seconds = (now - this.#startedMs) / 1000;
    const rate = Math.round(this.done / Math.max(seconds, 0.001));
    const line = `fuzz: ${this.done} of ${cases} cases, ${this.#siegeNumber} sieges, ${seconds.toFixed(0)} s, ${rate} a second`;
    process.stdout.write(process.stdout.isTTY === true && !last ? `\r${line}` : `${line}\n`);
  }

  #failure(what: string, error: unknown): void {
    const told = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`\nFAILED ${what} of seed ${seed}: ${told}\n`);
  }
}

new Run().all().then(
  (passed) => {
    process.stdout.write(passed ? `fuzz: seed ${seed}, no failure\n` : `fuzz: seed ${seed}, FAILED\n`);
    process.exitCode = passed ? 0 : 1;
  },
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
    process.exitCode = 1;
  },
);
