// Power cuts inside file operations: while a segment begins, rolls over, is written anew or let go, on a disk that is
// at times full. Each life ends in one; what was acknowledged is there in all later ones, under the same epoch.

import { strict as assert } from 'node:assert';
import { join } from 'node:path';
import t from 'tap';
import type { Lane } from '../../../src/model/lane.ts';
import { Outbox, OutboxFault } from '../../../src/store/outbox/index.ts';
import { seededEntropy } from '../../support/sim-entropy.ts';
import { SimFiles } from '../../support/sim-files.ts';

const directory = '/data/outbox';
const lane: Lane = { queue: '$upstream', priority: 1, live: false };
const seeds = 200;
const livesMax = 8;

class Cut extends Error {}

class Device {
  readonly entropy;
  readonly files: SimFiles;
  readonly acknowledged = new Map<number, string>();
  #operations = Number.POSITIVE_INFINITY;
  #refuses = 0;
  #hasCommitted = false;
  /** The highest that any commit was asked to confirm: one that failed or was cut may count. */
  #confirming = 0;
  #next = 1;
  #epoch: string | undefined;
  outbox: Outbox;
  nowMs = 1000;
  lives = 0;

  constructor(seed: number) {
    this.entropy = seededEntropy(seed);
    this.files = new SimFiles(this.entropy);
    this.outbox = this.#make();
    this.files.fault = (_operation, call) => this.#strike(call);
  }

  #make(): Outbox {
    return new Outbox(
      { files: this.files, entropy: this.entropy },
      { directory, quarantine: '/data/q', segmentBytes: 8192 },
    );
  }

  #strike(call: string): string | undefined {
    if (this.#operations-- <= 0) throw new Cut();
    if (this.#refuses > 0 && call !== 'open' && call !== 'read' && this.entropy.fraction() < 0.1) {
      this.#refuses--;
      return 'EIO';
    }
    return undefined;
  }

  stamp() {
    return { wallMs: 1.7e12 + this.nowMs, monotonicMs: this.nowMs, bootId: `boot-${this.lives}`, trusted: true };
  }

  /** Opens, looks whether all is there, works, and is cut. */
  live(): void {
    this.lives++;
    this.outbox = this.#make();
    const { epoch } = this.outbox.open(this.stamp());
    if (this.#hasCommitted) assert.equal(epoch, this.#epoch, 'the epoch stays');
    this.#epoch = epoch;
    this.balance();
    const { entropy, files } = this;
    if (entropy.fraction() < 0.4) files.capacityBytes = files.usedBytes + Math.floor(entropy.fraction() * 12_000);
    if (entropy.fraction() < 0.4) this.#refuses = 3;
    this.#operations = Math.floor(entropy.fraction() * 90);
    try {
      for (let step = 0; step < 60; step++) this.#step();
    } catch (error) {
      if (!(error instanceof Cut)) throw error;
    }
    this.#operations = Number.POSITIVE_INFINITY;
    this.#refuses = 0;
    files.capacityBytes = undefined;
    if (entropy.fraction() < 0.8) files.powerCut();
    else files.kill();
  }

  #step(): void {
    const { entropy, outbox } = this;
    const texts: string[] = [];
    for (let count = Math.floor(entropy.fraction() * 8); count > 0; count--) {
      const text = `${this.#next++}`.padEnd(150, '.');
      texts.push(text);
      outbox.append({ targets: [{ lane, timeToLiveMs: undefined }], record: Buffer.from(text), hop: undefined });
    }
    let confirmed = 0;
    if (entropy.fraction() < 0.4) {
      const offsets = [...this.acknowledged.keys()];
      const at = offsets[Math.floor(entropy.fraction() * offsets.length)];
      if (at !== undefined) {
        confirmed = entropy.fraction() < 0.3 ? Math.max(...offsets) : at;
        this.#confirming = Math.max(this.#confirming, confirmed);
        outbox.confirm(lane, confirmed);
      }
    }
    this.nowMs += 50;
    try {
      outbox.commit(this.stamp());
    } catch (error) {
      if (!(error instanceof OutboxFault)) throw error;
      return;
    }
    for (const offset of [...this.acknowledged.keys()]) if (offset <= confirmed) this.acknowledged.delete(offset);
    this.#hasCommitted ||= texts.length > 0;
    const wanted = new Set(texts);
    for (const [offset, text] of this.rows()) if (wanted.has(text)) this.acknowledged.set(offset, text);
  }

  rows(): ReadonlyMap<number, string> {
    const found = new Map<number, string>();
    for (let afterOffset = 0; ; ) {
      const spec = { lane, afterOffset, messagesMax: 500, bytesMax: 1e6, stamp: this.stamp() };
      const { rows, more } = this.outbox.read(spec);
      for (const { offset, record } of rows) found.set(offset, record.toString());
      const last = rows.at(-1);
      if (last === undefined && !more) return found;
      afterOffset = last?.offset ?? afterOffset;
    }
  }

  balance(): void {
    const there = this.rows();
    for (const [offset, text] of this.acknowledged) {
      if (offset <= this.#confirming && !there.has(offset)) continue;
      assert.equal(there.get(offset), text, `life ${this.lives}: offset ${offset} is what was acknowledged`);
    }
    assert.deepEqual(this.outbox.takeDrops(), [], 'nothing is called lost');
  }
}

t.test(`a power cut inside any file operation loses nothing, in ${seeds} drawn devices`, async (t) => {
  let lives = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const device = new Device(seed);
    try {
      for (let life = 0; life < livesMax; life++) device.live();
      lives += device.lives;
    } catch (error) {
      t.fail(`seed ${seed}, life ${device.lives}: ${error instanceof Error ? error.message : String(error)}`);
      return;
    }
  }
  t.equal(lives, seeds * livesMax);
});

t.test('a segment whose header the power cut took is gone on from without losing epoch or messages', async (t) => {
  const device = new Device(7);
  const { files } = device;
  const append = (outbox: Outbox, text: string): void => {
    outbox.append({ targets: [{ lane, timeToLiveMs: undefined }], record: Buffer.from(text), hop: undefined });
    outbox.commit(device.stamp());
  };
  const make = (): Outbox =>
    new Outbox({ files, entropy: device.entropy }, { directory, quarantine: '/data/q', segmentBytes: 8192 });
  const outbox = make();
  const { epoch } = outbox.open(device.stamp());
  for (let index = 0; index < 100; index++) append(outbox, `${index}`.padEnd(200, '.'));
  files.kill();
  const newest = files
    .list('test', directory)
    .filter((name) => name.endsWith('.seg'))
    .sort()
    .at(-1) as string;
  const bytes = Buffer.from(files.bytesOf(join(directory, newest)));
  files.plant(join(directory, newest), bytes.fill(0, 0, 512));
  // Older ones still have theirs, until what they hold has left.
  const second = make();
  t.equal(second.open(device.stamp()).epoch, epoch);
  second.confirm(lane, 99);
  second.commit(device.stamp());
  second.confirm(lane, 99);
  append(second, 'new');
  files.powerCut();
  const third = make();
  t.equal(third.open(device.stamp()).epoch, epoch);
  const { rows } = third.read({ lane, afterOffset: 0, messagesMax: 9, bytesMax: 1e5, stamp: device.stamp() });
  t.same(
    rows.map(({ record }) => record.toString().replaceAll('.', '')),
    ['99', 'new'],
  );
});
