// Bits that turn over in the log's files, by the hundred: whatever is given is what was stored, and the outbox opens.

import { strict as assert } from 'node:assert';
import { join } from 'node:path';
import t from 'tap';
import type { Lane } from '../../../src/model/lane.ts';
import type { TimeStamp } from '../../../src/model/time-stamp.ts';
import { Outbox } from '../../../src/store/outbox/index.ts';
import { seededEntropy } from '../../support/sim-entropy.ts';
import { SimFiles } from '../../support/sim-files.ts';

const seeds = 200;
const directory = '/data/outbox';
const stamp: TimeStamp = { wallMs: 1.7e12, monotonicMs: 5000, bootId: 'one', trusted: true };
const lanes: readonly Lane[] = [
  { queue: '$upstream', priority: 1, live: false },
  { queue: 'm/inputs/i', priority: 10, live: false },
];
const messages = 200;
const inLastCommit = 10;

function make(files: SimFiles): Outbox {
  return new Outbox({ files, entropy: seededEntropy(4) }, { directory, quarantine: '/data/q', segmentBytes: 12_288 });
}

function textOf(lane: number, index: number): string {
  return `${lane}:${index}:`.padEnd(60, 'abcdefgh');
}

function fill(files: SimFiles): void {
  const outbox = make(files);
  outbox.open(stamp);
  for (let index = 1; index <= messages; index++) {
    for (const [at, lane] of lanes.entries())
      outbox.append({
        targets: [{ lane, timeToLiveMs: undefined }],
        record: Buffer.from(textOf(at, index)),
        hop: { stream: `s${at}`, sequence: index },
      });
    if (index % inLastCommit === 0) outbox.commit(stamp);
  }
  outbox.confirm(lanes[0] as Lane, 20);
  outbox.commit(stamp);
  outbox.close();
}

function readAll(outbox: Outbox, at: number): number[] {
  const lane = lanes[at] as Lane;
  const found: number[] = [];
  for (let afterOffset = 0; ; ) {
    const { rows, more } = outbox.read({ lane, afterOffset, messagesMax: 50, bytesMax: 1e6, stamp });
    for (const { offset, record } of rows) {
      assert.equal(record.toString(), textOf(at, offset), 'what is given is what was stored');
      assert.ok(offset > afterOffset);
      afterOffset = offset;
      found.push(offset);
    }
    if (rows.length === 0 && !more) return found;
  }
}

function damagedLife(seed: number): void {
  const entropy = seededEntropy(seed);
  const files = new SimFiles(entropy);
  fill(files);
  const names = files.list('test', directory);
  for (let flips = 1 + Math.floor(entropy.fraction() * 3); flips > 0; flips--) {
    const path = join(directory, names[Math.floor(entropy.fraction() * names.length)] as string);
    files.flipBit(path, Math.floor(entropy.fraction() * files.bytesOf(path).byteLength * 8));
  }
  const outbox = make(files);
  const opened = outbox.open(stamp);
  let missing = 0;
  for (const at of lanes.keys()) {
    const found = readAll(outbox, at);
    const expected = messages - (at === 0 ? 20 : 0);
    // A confirmation in a damaged frame may be forgotten: those messages are given again.
    missing += Math.max(0, expected - found.length);
  }
  outbox.commit(stamp);
  const drops = outbox.takeDrops();
  const counted = drops.reduce((sum, drop) => sum + drop.messages, 0);
  for (const { reason } of drops) assert.equal(reason, 'damaged');
  // The very last commit cannot be told from one that a power cut tore.
  const allowance = 2 * inLastCommit;
  const known = Math.max(counted, opened.salvaged?.lost ?? 0);
  assert.ok(missing <= known + allowance, `${missing} are missing, ${known} are counted`);
  for (const [at, lane] of lanes.entries()) {
    const spec = { targets: [{ lane, timeToLiveMs: undefined }], record: Buffer.from('new') };
    assert.equal(outbox.append({ ...spec, hop: { stream: `s${at}`, sequence: messages + 1 } }), 0);
  }
  outbox.commit(stamp);
  const again = (lane: Lane) => outbox.read({ lane, afterOffset: messages, messagesMax: 9, bytesMax: 1e6, stamp });
  for (const lane of lanes)
    assert.deepEqual(
      again(lane).rows.map(({ record }) => record.toString()),
      ['new'],
    );
  outbox.close();
  assert.equal(make(files).open(stamp).epoch, opened.epoch);
}

t.test(`an outbox with flipped bits opens, tells the truth and goes on, ${seeds} times`, async (t) => {
  for (let seed = 1; seed <= seeds; seed++) {
    try {
      damagedLife(seed);
    } catch (error) {
      t.error(error, `seed ${seed}`);
      return;
    }
  }
  t.pass();
});

t.test('an outbox whose headers are all gone starts afresh and keeps copies', async (t) => {
  const files = new SimFiles(seededEntropy(1));
  fill(files);
  for (const name of files.list('test', directory))
    for (const at of [20, 276]) files.flipBit(join(directory, name), at * 8);
  const outbox = make(files);
  const { fresh, salvaged } = outbox.open(stamp);
  t.equal(fresh, false);
  t.equal(salvaged?.quarantined.length, 3);
  t.equal(salvaged?.kept, 0);
  outbox.append({
    targets: [{ lane: lanes[0] as Lane, timeToLiveMs: undefined }],
    record: Buffer.from('x'),
    hop: undefined,
  });
  outbox.commit(stamp);
  t.equal(outbox.lanes(stamp).length, 1);
});

t.test('a directory full of nonsense is opened', async (t) => {
  const files = new SimFiles(seededEntropy(2));
  const entropy = seededEntropy(8);
  for (let index = 1; index < 6; index++)
    files.plant(join(directory, `000000000000000${index}.seg`), entropy.bytes(index * 3000));
  files.plant(join(directory, '0000000000000009.seg'), Buffer.alloc(0));
  const outbox = make(files);
  outbox.open(stamp);
  outbox.append({
    targets: [{ lane: lanes[0] as Lane, timeToLiveMs: undefined }],
    record: Buffer.from('x'),
    hop: undefined,
  });
  outbox.commit(stamp);
  t.ok(files.list('test', directory).includes('000000000000000a.seg'), 'names are not used again');
});
