// What the outbox promises, one promise a test, on simulated files.

import { join } from 'node:path';
import t from 'tap';
import { outboxLanesMax, outboxOffsetJump, outboxRangesMax } from '../../../src/limits.ts';
import type { Lane } from '../../../src/model/lane.ts';
import type { TimeStamp } from '../../../src/model/time-stamp.ts';
import { systemLogFiles } from '../../../src/platform/log-files.ts';
import { Outbox, OutboxFault } from '../../../src/store/outbox/index.ts';
import { seededEntropy } from '../../support/sim-entropy.ts';
import { SimFiles } from '../../support/sim-files.ts';

const directory = '/data/outbox';
const quarantine = '/data/quarantine';
const first: Lane = { queue: '$upstream', priority: 0, live: false };
const last: Lane = { queue: '$upstream', priority: 10, live: false };
const other: Lane = { queue: 'm/inputs/i', priority: 10, live: false };

class Bench {
  readonly files = new SimFiles(seededEntropy(3));
  nowMs = 1000;
  bootId = 'boot-one';
  wallMs = 1.7e12;
  trusted = true;
  outbox: Outbox = this.make();

  make(): Outbox {
    return new Outbox(
      { files: this.files, entropy: seededEntropy(5) },
      { directory, quarantine, segmentBytes: 16_384 },
    );
  }

  stamp(): TimeStamp {
    return {
      wallMs: this.wallMs + this.nowMs,
      monotonicMs: this.nowMs,
      bootId: this.bootId,
      trusted: this.trusted,
    };
  }

  open() {
    return this.outbox.open(this.stamp());
  }

  reopen() {
    this.files.kill();
    this.outbox = this.make();
    return this.open();
  }

  append(lanes: readonly Lane[], text: string, timeToLiveMs?: number): number {
    const targets = lanes.map((lane) => ({ lane, timeToLiveMs }));
    return this.outbox.append({ targets, record: Buffer.from(text), hop: undefined });
  }

  commit(): void {
    this.outbox.commit(this.stamp());
  }

  fill(lane: Lane, count: number, bytes = 100): void {
    for (let index = 1; index <= count; index++) {
      this.append([lane], `${index} `.padEnd(bytes, '.'));
      if (index % 10 === 0) this.commit();
    }
    this.commit();
  }

  texts(lane: Lane, afterOffset = 0): string[] {
    const found: string[] = [];
    for (let after = afterOffset; ; ) {
      const read = this.outbox.read({ lane, afterOffset: after, messagesMax: 7, bytesMax: 4096, stamp: this.stamp() });
      for (const { offset, record } of read.rows) {
        found.push(record.toString().trim().replaceAll('.', '').trim());
        after = offset;
      }
      if (read.rows.length === 0 && !read.more) return found;
    }
  }

  facts(lane: Lane) {
    return this.outbox
      .lanes(this.stamp())
      .find(({ queue, priority, live }) => queue === lane.queue && priority === lane.priority && live === lane.live);
  }
}

function opened(): Bench {
  const bench = new Bench();
  bench.open();
  return bench;
}

t.test('a message is read only after its commit, in every lane it is for', async (t) => {
  const bench = opened();
  bench.append([first, other], 'one');
  t.same(bench.texts(first), []);
  bench.commit();
  t.same(bench.texts(first), ['one']);
  t.same(bench.texts(other), ['one']);
  t.equal(bench.outbox.liveBytes, 3, 'stored once');
});

t.test('opening writes nothing', async (t) => {
  const bench = opened();
  t.same(bench.files.list('test', directory), []);
  bench.fill(first, 100);
  const before = bench.files.writtenBytes;
  bench.reopen();
  t.equal(bench.files.writtenBytes, before);
  t.equal(bench.texts(first).length, 100);
});

t.test('discard() leaves everything as it was', async (t) => {
  const bench = opened();
  bench.fill(first, 5);
  bench.append([first, other], 'no');
  bench.outbox.confirm(first, 5);
  bench.outbox.discard();
  t.equal(bench.outbox.staged, false);
  bench.commit();
  t.equal(bench.texts(first).length, 5);
  t.equal(bench.facts(other), undefined);
});

t.test('what was never given out is not confirmed', async (t) => {
  const bench = opened();
  bench.fill(first, 3);
  bench.outbox.confirm(first, 99);
  bench.append([first], 'later');
  bench.commit();
  t.same(bench.texts(first), ['later']);
});

t.test('a repetition is known after a restart, and stored once', async (t) => {
  const bench = opened();
  const spec = { targets: [{ lane: first, timeToLiveMs: undefined }], record: Buffer.from('x') };
  const hop = { stream: 'device/s', sequence: 7 };
  t.equal(bench.outbox.append({ ...spec, hop }), 0);
  t.equal(bench.outbox.append({ ...spec, hop }), 1, 'within a commit');
  bench.commit();
  bench.reopen();
  t.equal(bench.outbox.append({ ...spec, hop }), 1);
  t.equal(bench.outbox.append({ ...spec, hop: { ...hop, sequence: 8 } }), 0);
});

t.test('emptied segments are written over instead of growing', async (t) => {
  const bench = opened();
  for (let round = 0; round < 20; round++) {
    bench.fill(first, 100, 150);
    bench.outbox.confirm(first, (round + 1) * 100);
    bench.commit();
  }
  t.ok(bench.outbox.diskBytes <= 4 * 16_384, `${bench.outbox.diskBytes} bytes on disk`);
  t.equal(bench.outbox.liveBytes, 0);
});

t.test('a lane that nobody empties does not pin what lies beside it', async (t) => {
  const bench = opened();
  for (let round = 0; round < 40; round++) {
    bench.append([other], `kept ${round}`);
    bench.fill(first, 100, 150);
    bench.outbox.confirm(first, (round + 1) * 100);
    bench.commit();
  }
  const spare = 16 * 16_384 * 1.25;
  t.ok(bench.outbox.diskBytes < spare + 6 * 16_384, `${bench.outbox.diskBytes} bytes on disk`);
  const expected = Array.from({ length: 40 }, (_, round) => `kept ${round}`);
  t.same(bench.texts(other), expected);
  bench.reopen();
  t.same(bench.texts(other), expected);
});

t.test('the quota takes the oldest of the lowest priority first, and counts it', async (t) => {
  const bench = opened();
  bench.fill(first, 50);
  bench.fill(last, 100);
  bench.outbox.enforceQuota(10_000, bench.stamp());
  bench.commit();
  t.equal(bench.facts(first)?.messages, 50);
  t.equal(bench.facts(last)?.messages, 50);
  t.equal(bench.texts(last)[0], '51');
  t.same(bench.outbox.takeDrops(), [{ lane: last, reason: 'quota', messages: 50 }]);
  t.same(bench.outbox.takeDrops(), []);
  bench.reopen();
  t.same(bench.facts(last)?.dropped, { quota: 50 });
});

t.test('the quota takes what has expired before anything that has not', async (t) => {
  const bench = opened();
  bench.fill(last, 50);
  for (let index = 0; index < 50; index++) bench.append([first], 'short'.padEnd(100), 1000);
  bench.commit();
  bench.nowMs += 1000;
  bench.outbox.enforceQuota(6000, bench.stamp());
  bench.commit();
  t.equal(bench.facts(last)?.messages, 50);
  t.same(bench.facts(first)?.dropped, { ttl_expiry: 50 });
});

t.test('expired messages between others leave, and the others stay', async (t) => {
  const bench = opened();
  for (let index = 1; index <= 20; index++) bench.append([first], String(index), index % 2 === 0 ? 500 : undefined);
  bench.commit();
  bench.nowMs += 500;
  bench.outbox.sweep(bench.stamp());
  bench.commit();
  t.equal(bench.facts(first)?.messages, 10);
  t.same(bench.texts(first), ['1', '3', '5', '7', '9', '11', '13', '15', '17', '19']);
  bench.reopen();
  t.equal(bench.facts(first)?.messages, 10);
});

t.test('a lane with more holes than can be noted is read to its end', async (t) => {
  const bench = opened();
  const pairs = outboxRangesMax + 50;
  for (let pair = 1; pair <= pairs; pair++) {
    bench.append([first], `${pair} stays`);
    bench.append([first], `${pair} expires`, 500);
    if (pair % 500 === 0) bench.commit();
  }
  bench.commit();
  bench.nowMs += 500;
  bench.outbox.sweep(bench.stamp());
  bench.commit();
  const texts = bench.texts(first);
  t.equal(
    texts.filter((text) => text.endsWith('stays')).length,
    pairs,
    'nothing is passed, and nothing waits for more',
  );
  t.ok(texts.length < pairs + 100, 'what has no room as a hole goes out, late');
});

t.test('a clock that jumps makes no message older', async (t) => {
  const bench = new Bench();
  bench.trusted = false;
  bench.open();
  bench.append([first], 'kept', 60_000);
  bench.commit();
  bench.wallMs += 10 * 365 * 86_400_000;
  bench.nowMs += 1000;
  t.same(bench.texts(first), ['kept'], 'within the boot');
  bench.bootId = 'boot-two';
  bench.nowMs = 500;
  bench.reopen();
  t.same(bench.texts(first), ['kept'], 'in another boot whose hour is not known');
  bench.trusted = true;
  t.same(bench.texts(first), ['kept'], 'in one whose hour is known, while that of the message is not');
});

t.test(
  'a clock that is not believed any more makes what came in the same boot no older, in the next one',
  async (t) => {
    const bench = opened();
    bench.append([first], 'before', 60_000);
    bench.commit();
    bench.trusted = false;
    bench.wallMs -= 10 * 365 * 86_400_000;
    bench.append([first], 'kept', 60_000);
    bench.commit();
    bench.trusted = true;
    bench.wallMs += 10 * 365 * 86_400_000 + 30_000;
    bench.bootId = 'boot-two';
    bench.reopen();
    t.same(bench.texts(first), ['before', 'kept']);
    bench.wallMs += 30_000;
    t.same(bench.texts(first), []);
  },
);

t.test('between boots whose hour is known the time in between counts', async (t) => {
  const bench = opened();
  bench.append([first], 'gone', 60_000);
  bench.commit();
  bench.bootId = 'boot-two';
  bench.wallMs += 59_000;
  bench.reopen();
  t.same(bench.texts(first), ['gone']);
  bench.wallMs += 1000;
  t.same(bench.texts(first), []);
});

t.test('wall times are corrected once the hour of their boot is known', async (t) => {
  const bench = new Bench();
  bench.trusted = false;
  bench.wallMs = 0;
  bench.open();
  bench.append([first], 'early');
  bench.commit();
  bench.nowMs += 5000;
  bench.trusted = true;
  bench.wallMs = 1.7e12;
  bench.outbox.sweep(bench.stamp());
  bench.commit();
  bench.bootId = 'boot-two';
  bench.reopen();
  const { rows } = bench.outbox.read({
    lane: first,
    afterOffset: 0,
    messagesMax: 1,
    bytesMax: 1,
    stamp: bench.stamp(),
  });
  t.equal(rows[0]?.wallShiftMs, 1.7e12);
  t.equal(bench.facts(first)?.oldestMs, 1.7e12 + 1000);
});

t.test('the oldest message of a lane that is drained as it fills is young', async (t) => {
  const bench = opened();
  const readsAhead = 3;
  for (let offset = 1; offset <= 60; offset++) {
    bench.append([first], `message ${offset}`);
    bench.commit();
    bench.nowMs += 100;
    const read = bench.outbox.read({
      lane: first,
      afterOffset: offset - 1,
      messagesMax: 10,
      bytesMax: 4096,
      stamp: bench.stamp(),
    });
    t.same(
      read.rows.map((row) => row.offset),
      [offset],
    );
    if (offset > readsAhead) bench.outbox.confirm(first, offset - readsAhead);
  }
  const oldestMs = bench.facts(first)?.oldestMs ?? 0;
  const ageMs = bench.wallMs + bench.nowMs - oldestMs;
  t.ok(ageMs >= 300 && ageMs <= 800, `${ageMs} ms: a few messages, not the whole segment`);
});

t.test('a full disk fails the commit, loses nothing, and goes on when there is room', async (t) => {
  const bench = opened();
  bench.fill(first, 20);
  bench.files.capacityBytes = bench.files.usedBytes;
  t.throws(() => bench.fill(first, 1000), OutboxFault);
  const kept = bench.texts(first).length;
  t.ok(kept >= 20);
  bench.files.capacityBytes = undefined;
  bench.append([first], 'again');
  bench.commit();
  t.equal(bench.texts(first).length, kept + 1);
  bench.reopen();
  t.equal(bench.texts(first).length, kept + 1);
});

t.test('a disk that became read-only is still read', async (t) => {
  const bench = opened();
  bench.fill(first, 30);
  bench.files.readOnly = true;
  bench.append([first], 'no');
  t.throws(() => bench.commit(), { name: 'OutboxFault', code: 'EROFS' });
  t.equal(bench.texts(first).length, 30);
  bench.reopen();
  t.equal(bench.texts(first).length, 30);
  bench.files.readOnly = false;
  bench.append([first], 'yes');
  bench.commit();
  t.equal(bench.texts(first).at(-1), 'yes');
});

for (const sync of ['now', 'later'] as const)
  t.test(`after a failed sync the segment is left, and what was in it is written anew: ${sync}`, async (t) => {
    const bench = opened();
    bench.fill(first, 10);
    if (sync === 'later') bench.files.later = (end) => end();
    const faults: unknown[] = [];
    const commit = (): void =>
      bench.outbox.commitLater(bench.stamp(), (fault) => {
        if (fault !== undefined) faults.push(fault);
      });
    bench.files.fault = (_operation, call) => (call === 'syncData' ? 'EIO' : undefined);
    bench.append([first], 'no');
    commit();
    t.match(faults, [{ name: 'OutboxFault', code: 'EIO' }]);
    bench.files.fault = undefined;
    bench.append([first], 'yes');
    commit();
    t.equal(faults.length, 1);
    const names = bench.files.list('test', directory);
    t.notOk(names.includes('0000000000000001.seg'), 'the old file is gone');
    t.ok(names.includes('0000000000000001-0000000000000001.1.seg'), 'its messages are in another');
    bench.files.powerCut();
    bench.reopen();
    t.same(bench.texts(first), ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10', 'yes']);
  });

t.test('a bad place on the disk costs a retry first, and then only what lies there', async (t) => {
  const bench = opened();
  bench.fill(first, 60);
  bench.reopen();
  bench.files.breakPlace(join(directory, '0000000000000001.seg'), 4500);
  for (let attempt = 0; attempt < 3; attempt++) {
    t.throws(() => bench.texts(first), { name: 'OutboxFault', code: 'EIO' });
    bench.nowMs += 6000;
  }
  const found = bench.texts(first);
  bench.commit();
  t.ok(found.length >= 20 && found.length < 60, `${found.length} of 60`);
  t.equal(bench.facts(first)?.dropped.damaged, 60 - found.length);
});

t.test('segments of a newer format are refused and not touched', async (t) => {
  const bench = opened();
  bench.fill(first, 3);
  const path = join(directory, '0000000000000001.seg');
  const bytes = Buffer.from(bench.files.bytesOf(path));
  const newer = newerHeader(bytes);
  bench.files.plant(path, newer);
  bench.files.kill();
  const before = bench.files.writtenBytes;
  t.throws(() => bench.make().open(bench.stamp()), { code: 'STORE_SCHEMA_NEWER' });
  t.equal(bench.files.writtenBytes, before);
  t.ok(bench.files.bytesOf(path).equals(newer));
});

/** The header as a later version would write it: its checksum fits. */
function newerHeader(bytes: Buffer): Buffer {
  const changed = Buffer.from(bytes);
  for (const at of [0, 256]) {
    changed.writeUInt32LE(2, at + 8);
    changed.writeInt32LE(slowCrc(changed.subarray(at, at + 60)), at + 60);
  }
  return changed;
}

function slowCrc(bytes: Buffer): number {
  let state = -1;
  for (const byte of bytes) {
    state ^= byte;
    for (let bit = 0; bit < 8; bit++) state = (state & 1) === 0 ? state >>> 1 : (state >>> 1) ^ 0xedb88320;
  }
  return ~state;
}

t.test('files that are not ours stay', async (t) => {
  const bench = opened();
  bench.files.plant(join(directory, 'notes.txt'), Buffer.from('mine'));
  bench.files.plant(join(directory, 'x.seg'), Buffer.from('mine'));
  bench.fill(first, 300);
  bench.outbox.confirm(first, 300);
  bench.commit();
  bench.reopen();
  t.equal(bench.files.bytesOf(join(directory, 'notes.txt')).toString(), 'mine');
  t.equal(bench.files.bytesOf(join(directory, 'x.seg')).toString(), 'mine');
});

t.test('a segment file that has gone is counted by lane', async (t) => {
  const bench = opened();
  bench.fill(first, 500);
  bench.files.kill();
  bench.files.remove('test', join(directory, '0000000000000001.seg'));
  bench.outbox = bench.make();
  const { salvaged } = bench.open();
  const rest = bench.texts(first).length;
  t.ok(rest > 0 && rest < 500);
  t.equal(salvaged?.lost, 500 - rest);
  t.equal(salvaged?.kept, rest);
  t.same(bench.outbox.takeDrops(), [{ lane: first, reason: 'damaged', messages: 500 - rest }]);
});

t.test('after damage no offset is given twice', async (t) => {
  const bench = opened();
  bench.fill(first, 20);
  const path = join(directory, '0000000000000001.seg');
  const snapshotBytes = bench.files.bytesOf(path).readUInt32LE(516);
  bench.files.flipBit(path, 8 * (512 + 2 * snapshotBytes + 70));
  const { salvaged } = bench.reopen();
  t.equal(salvaged?.kept, 10);
  t.equal(salvaged?.lost, 10);
  t.equal(salvaged?.quarantined.length, 1);
  bench.append([first], 'after');
  bench.commit();
  const { rows } = bench.outbox.read({
    lane: first,
    afterOffset: 20,
    messagesMax: 1,
    bytesMax: 1,
    stamp: bench.stamp(),
  });
  t.ok((rows[0]?.offset ?? 0) >= outboxOffsetJump);
  t.equal(rows[0]?.record.toString(), 'after');
});

t.test('a flipped bit in a record costs that record', async (t) => {
  const bench = opened();
  bench.fill(first, 20);
  bench.files.flipBit(join(directory, '0000000000000001.seg'), 8 * 1500);
  t.equal(bench.reopen().salvaged, undefined, 'it shows when it is read');
  t.equal(bench.texts(first).length, 19);
  bench.commit();
  t.same(bench.outbox.takeDrops(), [{ lane: first, reason: 'damaged', messages: 1 }]);
  t.equal(bench.facts(first)?.messages, 19);
});

t.test('too many lanes are refused, and the lanes there are go on', async (t) => {
  const bench = opened();
  let stored = 0;
  for (let index = 0; index < outboxLanesMax; index++)
    if (bench.append([{ queue: `q${index}`, priority: 10, live: false }], 'x') === 0) stored++;
  t.equal(stored, outboxLanesMax);
  t.equal(bench.append([{ queue: 'one more', priority: 10, live: false }], 'x'), 2);
  t.equal(bench.append([{ queue: 'q0', priority: 10, live: false }], 'x'), 0);
  bench.commit();
});

t.test('an outbox that takes over keeps epoch, streams, offsets and positions, and may begin again', async (t) => {
  const bench = opened();
  bench.fill(other, 5);
  const seed = {
    epoch: '00112233445566aa',
    lanes: [{ lane: first, stream: '00112233445566aa', offsetNext: 40, dropped: { quota: 3 } }],
    positions: [{ stream: 'device/s', sequence: 9 }],
  };
  for (let round = 0; round < 2; round++) {
    bench.outbox.startAfresh(seed, bench.stamp());
    for (const offset of [41, 45])
      bench.outbox.append({
        targets: [{ lane: first, timeToLiveMs: undefined, offset }],
        record: Buffer.from(String(offset)),
        hop: undefined,
      });
    bench.commit();
  }
  bench.reopen();
  t.equal(bench.outbox.epoch, seed.epoch);
  t.equal(bench.facts(other), undefined);
  t.equal(bench.facts(first)?.messages, 2);
  t.same(bench.facts(first)?.dropped, { quota: 3 });
  t.equal(bench.facts(first)?.stream, seed.epoch);
  t.same(bench.texts(first), ['41', '45']);
  const spec = { targets: [{ lane: other, timeToLiveMs: undefined }], record: Buffer.from('x') };
  t.equal(bench.outbox.append({ ...spec, hop: { stream: 'device/s', sequence: 9 } }), 1);
  bench.append([other], 'new');
  bench.commit();
  t.match(bench.facts(other)?.stream, /^00112233445566aa\.\d+$/);
});

t.test('on real files messages survive closing and opening', async (t) => {
  const root = t.testdir({});
  const make = (): Outbox =>
    new Outbox(
      { files: systemLogFiles(), entropy: seededEntropy(9) },
      { directory: join(root, 'outbox'), quarantine: join(root, 'quarantine'), segmentBytes: 65_536 },
    );
  const stamp: TimeStamp = { wallMs: 1, monotonicMs: 1, bootId: 'b', trusted: false };
  const targets = [{ lane: first, timeToLiveMs: undefined }];
  const writing = make();
  writing.open(stamp);
  for (let index = 0; index < 1000; index++) {
    writing.append({ targets, record: Buffer.from(`${index} ${'y'.repeat(200)}`), hop: undefined });
    if (index % 50 === 49) writing.commit(stamp);
  }
  writing.confirm(first, 700);
  writing.commit(stamp);
  writing.close();
  const reading = make();
  t.same(reading.open(stamp).salvaged, undefined);
  const { rows } = reading.read({ lane: first, afterOffset: 0, messagesMax: 1000, bytesMax: 1e6, stamp });
  t.equal(rows.length, 300);
  t.equal(rows[0]?.record.toString().slice(0, 4), '700 ');
  reading.close();
});
