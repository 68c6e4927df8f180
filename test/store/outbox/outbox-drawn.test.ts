// The outbox against a naive model, through drawn lives: commits, confirmations, reads, expiry, quota, restarts,
// power cuts and disks that refuse, on simulated files.
//
// The model knows what was committed. After every step the outbox must give, lane by lane and in order, exactly what
// was committed and neither confirmed nor counted as dropped; drops must have a reason that is true; a commit whose
// outcome is unknown is there as a whole or not at all; a repetition is known as one.

import { strict as assert } from 'node:assert';
import t from 'tap';
import { type Lane, laneKey } from '../../../src/model/lane.ts';
import type { TimeStamp } from '../../../src/model/time-stamp.ts';
import { Outbox, OutboxFault } from '../../../src/store/outbox/index.ts';
import { seededEntropy } from '../../support/sim-entropy.ts';
import { SimFiles } from '../../support/sim-files.ts';

const seeds = Number(process.env['OUTBOX_SEEDS'] ?? 150);
const firstSeed = Number(process.env['OUTBOX_SEED'] ?? 1);
const steps = 60;
/** Generous: a life takes some ten milliseconds on a machine with nothing else to do. */
const lifeMsMax = 10_000;
const directory = '/data/outbox';

const lanes: readonly Lane[] = [
  { queue: '$upstream', priority: 0, live: false },
  { queue: '$upstream', priority: 5, live: false },
  { queue: '$upstream', priority: 5, live: true },
  { queue: 'm/inputs/i', priority: 10, live: false },
];

interface Waiting {
  readonly offset: number;
  readonly text: string;
  readonly ttlMs: number | undefined;
  readonly atMs: number;
}

interface Batch {
  readonly messages: { readonly lane: Lane; readonly text: string; readonly ttlMs: number | undefined }[];
  readonly confirms: Map<string, number>;
  readonly positions: Map<string, number>;
  readonly quota: boolean;
  readonly atMs: number;
}

class Life {
  readonly #random: () => number;
  readonly #files: SimFiles;
  readonly #seed: number;
  readonly #alive = new Map<string, Waiting[]>();
  readonly #dropped = new Map<string, number>();
  readonly #highest = new Map<string, number>();
  readonly #positions = new Map<string, number>();
  readonly #reported = new Map<string, number>();
  #maybe: Batch[] = [];
  #outbox: Outbox;
  #nowMs = 1000;
  #texts = 0;
  #quotaUsed = false;
  #epoch: string | undefined;
  #committed = false;

  constructor(seed: number) {
    const entropy = seededEntropy(seed);
    this.#seed = seed;
    this.#random = () => entropy.fraction();
    this.#files = new SimFiles(entropy);
    for (const lane of lanes) this.#alive.set(laneKey(lane), []);
    this.#outbox = this.#start();
  }

  run(): void {
    for (let step = 0; step < steps; step++) {
      this.#nowMs += this.#below(2000);
      const die = this.#random();
      if (die < 0.55) this.#commit();
      else if (die < 0.65) this.#readSome();
      else if (die < 0.72) this.#sweep();
      else if (die < 0.82) this.#failingCommit();
      else if (die < 0.9) this.#restart(() => this.#files.powerCut());
      else if (die < 0.95) this.#restart(() => this.#files.kill());
      else this.#restart(() => this.#outbox.close());
      if (this.#maybe.length === 0) this.#verify();
    }
    this.#restart(() => this.#files.powerCut());
    this.#verify();
    assert.equal(this.#files.openFiles <= 10, true, 'few files are open');
  }

  #start(): Outbox {
    const outbox = new Outbox(
      { files: this.#files, entropy: seededEntropy(this.#seed + 7) },
      { directory, quarantine: '/data/quarantine', segmentBytes: 4096 + this.#below(3) * 4096 },
    );
    const opened = outbox.open(this.#stamp());
    assert.equal(opened.salvaged, undefined, 'a power cut is no damage');
    if (this.#committed) assert.equal(opened.epoch, this.#epoch, 'the epoch stays');
    this.#epoch = opened.epoch;
    return outbox;
  }

  #restart(end: () => void): void {
    end();
    this.#reported.clear();
    this.#outbox = this.#start();
    // What was under way is there as a whole or not at all.
    for (const batch of this.#maybe) {
      const known = this.#surfaced(batch);
      if (known) this.#apply(batch);
    }
    this.#maybe = [];
  }

  #surfaced(batch: Batch): boolean {
    const found = batch.messages.map(({ lane, text }) => this.#readAll(lane).some((row) => row.text === text));
    assert.ok(found.length > 0 && new Set(found).size === 1, 'a commit is there as a whole or not at all');
    return found[0] as boolean;
  }

  /** `certain`: at least one message, and none that may expire or be dropped at once. */
  #draw({ certain = false } = {}): Batch {
    const batch: Batch = {
      messages: [],
      confirms: new Map(),
      positions: new Map(),
      quota: !certain && this.#random() < 0.15,
      atMs: this.#nowMs,
    };
    for (const lane of lanes) {
      const waiting = this.#alive.get(laneKey(lane)) ?? [];
      if (this.#random() > 0.35 || waiting.length === 0) continue;
      const last = waiting[this.#below(waiting.length)] as Waiting;
      batch.confirms.set(laneKey(lane), last.offset);
      this.#outbox.confirm(lane, last.offset);
    }
    for (let count = this.#below(12); count > 0; count--) this.#append(batch, certain);
    while (certain && batch.messages.length === 0) this.#append(batch, certain);
    if (batch.quota) this.#outbox.enforceQuota(2000 + this.#below(6000), this.#stamp());
    return batch;
  }

  #append(batch: Batch, certain: boolean): void {
    const text = `${++this.#texts} ${'x'.repeat(this.#below(this.#random() < 0.05 ? 3000 : 200))}`;
    const stream = `device/${this.#below(3)}`;
    const last = batch.positions.get(stream) ?? this.#positions.get(stream) ?? 0;
    const repeated = last > 0 && this.#random() < 0.1;
    const sequence = repeated ? Math.max(1, last - this.#below(3)) : last + 1;
    const hop = this.#random() < 0.5 ? { stream, sequence } : undefined;
    const ttlMs = !certain && this.#random() < 0.3 ? this.#below(20_000) : undefined;
    const chosen = lanes.filter(() => this.#random() < 0.4);
    const targets = (chosen.length === 0 ? [lanes[0] as Lane] : chosen).map((lane) => ({ lane, timeToLiveMs: ttlMs }));
    const outcome = this.#outbox.append({ targets, record: Buffer.from(text), hop });
    assert.equal(outcome, hop !== undefined && repeated ? 1 : 0, 'repetitions, and only they, are duplicates');
    if (outcome !== 0) return;
    if (hop !== undefined) batch.positions.set(stream, sequence);
    for (const { lane } of targets) batch.messages.push({ lane, text, ttlMs });
  }

  #commit(): void {
    const batch = this.#draw();
    this.#commitStaged();
    this.#apply(batch);
  }

  /** What an earlier commit may have left behind is dead once another one is on storage. */
  #commitStaged(): void {
    const { staged } = this.#outbox;
    this.#outbox.commit(this.#stamp());
    if (staged) this.#maybe = [];
  }

  #apply(batch: Batch): void {
    this.#committed = true;
    if (batch.quota) this.#quotaUsed = true;
    for (const [key, offset] of batch.confirms) {
      const waiting = this.#alive.get(key) ?? [];
      this.#alive.set(
        key,
        waiting.filter((message) => message.offset > offset),
      );
    }
    for (const [stream, sequence] of batch.positions) this.#positions.set(stream, sequence);
    const before = new Map<string, number>();
    for (const { lane, text, ttlMs } of batch.messages) {
      const key = laneKey(lane);
      // Offsets are learnt from reading: here only their order is known.
      const index = before.get(key) ?? 0;
      before.set(key, index + 1);
      this.#alive.get(key)?.push({ offset: Number.NaN, text, ttlMs, atMs: batch.atMs });
    }
    if (this.#maybe.length === 0) this.#verify();
  }

  /** Reads everything, and holds it against the model. Drops found on the way are committed and compared. */
  #verify(): void {
    const found = new Map(lanes.map((lane) => [laneKey(lane), this.#readAll(lane)]));
    this.#commitStaged();
    for (const lane of lanes) {
      const key = laneKey(lane);
      const rows = found.get(key) ?? [];
      const waiting = this.#alive.get(key) ?? [];
      const missing = compare(waiting, rows);
      for (const message of missing) {
        const expired = message.ttlMs !== undefined && this.#nowMs - message.atMs >= message.ttlMs;
        assert.ok(expired || this.#quotaUsed, `${key}: ${message.text.slice(0, 10)} is lost`);
      }
      for (const { text } of rows) {
        const message = waiting.find((candidate) => candidate.text === text) as Waiting;
        const expired = message.ttlMs !== undefined && this.#nowMs - message.atMs >= message.ttlMs;
        assert.ok(!expired, 'what has expired is not given');
      }
      const total = this.#totalDropped(lane);
      assert.equal(total - (this.#dropped.get(key) ?? 0), missing.length, `${key}: drops are counted exactly`);
      this.#dropped.set(key, total);
      this.#learn(key, waiting, rows);
    }
    for (const { lane, messages, reason } of this.#outbox.takeDrops()) {
      assert.notEqual(reason, 'damaged');
      const key = laneKey(lane);
      this.#reported.set(key, (this.#reported.get(key) ?? 0) + messages);
    }
    this.#quotaUsed = false;
    for (const facts of this.#outbox.lanes(this.#stamp()))
      assert.equal(facts.messages, this.#alive.get(laneKey(facts))?.length, 'messages are counted exactly');
    this.#committed = true;
  }

  #learn(key: string, waiting: readonly Waiting[], rows: readonly { offset: number; text: string }[]): void {
    let highest = this.#highest.get(key) ?? 0;
    const kept = rows.map(({ offset, text }) => {
      const message = waiting.find((candidate) => candidate.text === text) as Waiting;
      if (Number.isNaN(message.offset)) assert.ok(offset > highest, 'offsets are never used twice');
      else assert.equal(message.offset, offset, 'a message keeps its offset');
      highest = Math.max(highest, offset);
      return { ...message, offset };
    });
    this.#highest.set(key, highest);
    this.#alive.set(key, kept);
  }

  #totalDropped(lane: Lane): number {
    const facts = this.#outbox.lanes(this.#stamp()).find((candidate) => laneKey(candidate) === laneKey(lane));
    return Object.values(facts?.dropped ?? {}).reduce((sum, messages) => sum + messages, 0);
  }

  #readAll(lane: Lane): { offset: number; text: string }[] {
    const all: { offset: number; text: string }[] = [];
    for (let afterOffset = 0; ; ) {
      const messagesMax = 1 + this.#below(20);
      const read = this.#outbox.read({ lane, afterOffset, messagesMax, bytesMax: 2000, stamp: this.#stamp() });
      assert.ok(read.rows.length <= messagesMax);
      for (const { offset, record } of read.rows) {
        assert.ok(offset > afterOffset, 'offsets grow');
        afterOffset = offset;
        all.push({ offset, text: record.toString() });
      }
      if (read.rows.length === 0 && !read.more) return all;
    }
  }

  #readSome(): void {
    const lane = lanes[this.#below(lanes.length)] as Lane;
    const waiting = this.#alive.get(laneKey(lane)) ?? [];
    const from = waiting[this.#below(Math.max(1, waiting.length))]?.offset ?? 0;
    this.#outbox.read({ lane, afterOffset: from, messagesMax: 5, bytesMax: 1000, stamp: this.#stamp() });
  }

  #sweep(): void {
    this.#outbox.sweep(this.#stamp());
    this.#commitStaged();
  }

  #failingCommit(): void {
    const batch = this.#draw({ certain: true });
    const [call, code] =
      this.#random() < 0.5 ? ['syncData', 'EIO'] : ['write', this.#random() < 0.5 ? 'ENOSPC' : 'EIO'];
    const nth = this.#below(3);
    let met = 0;
    this.#files.fault = (_operation, name) => (name === call && met++ >= nth ? code : undefined);
    try {
      this.#outbox.commit(this.#stamp());
      this.#files.fault = undefined;
    } catch (error) {
      this.#files.fault = undefined;
      assert.ok(error instanceof OutboxFault);
      assert.equal(this.#outbox.staged, false, 'nothing is staged after a fault');
      this.#maybe.push(batch);
      const die = this.#random();
      if (die < 0.3) this.#restart(() => this.#files.powerCut());
      else if (die < 0.4) this.#restart(() => this.#files.kill());
      return;
    }
    this.#maybe = [];
    this.#apply(batch);
  }

  #stamp(): TimeStamp {
    return { wallMs: 1.7e12 + this.#nowMs, monotonicMs: this.#nowMs, bootId: 'one', trusted: true };
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

/** What waits and was not found; throws when something was found that does not wait, or in another order. */
function compare(waiting: readonly Waiting[], rows: readonly { text: string }[]): Waiting[] {
  const missing: Waiting[] = [];
  let at = 0;
  for (const message of waiting) {
    if (rows[at]?.text === message.text) at++;
    else missing.push(message);
  }
  assert.equal(at, rows.length, `${rows[at]?.text.slice(0, 10)} was found and does not wait here`);
  return missing;
}

t.test(`nothing is lost, doubled or reordered in ${seeds} drawn lives`, { timeout: lifeMsMax * seeds }, async (t) => {
  for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
    try {
      new Life(seed).run();
    } catch (error) {
      console.error(`# seed ${seed}`);
      t.error(error, `seed ${seed}: run with OUTBOX_SEED=${seed} OUTBOX_SEEDS=1`);
      return;
    }
  }
  t.pass();
});
