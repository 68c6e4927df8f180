// A commit that reached the thread before anybody knew what became of the one ahead of it: what of it is stored when
// that one fails, is refused in part, or is lost with the power. The outbox lies on files that lose what is not synced,
// and whose syncs end when the test says so.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { outboxLanesMax } from '../../src/limits.ts';
import { priorityUnset } from '../../src/model/lane.ts';
import { systemSqlite } from '../../src/platform/sqlite.ts';
import { ByteReader } from '../../src/store/byte-buffer.ts';
import { CommitBatch } from '../../src/store/commit-batch.ts';
import { Engine } from '../../src/store/engine.ts';
import { readRecord, streamKey } from '../../src/store/record.ts';
import { serveStore } from '../../src/store/serve.ts';
import type {
  CommitOrder,
  CommitResult,
  CommitSpec,
  Confirmation,
  FromThread,
  Request,
} from '../../src/store/thread-protocol.ts';
import { numberedMessage, sequenceOf } from '../support/messages.ts';
import { seededEntropy } from '../support/sim-entropy.ts';
import { SimFiles } from '../support/sim-files.ts';

const nobody = { resolve: () => undefined, reject: () => undefined };
const lane = { queue: '$upstream', priority: priorityUnset, live: false };
const into = (queue: string) => ({ ...lane, queue, timeToLiveMs: undefined });
const stamp = { wallMs: Date.UTC(2026, 0, 1), monotonicMs: 0, bootId: 'boot-1', trusted: true };
const fileSystem = { space: () => undefined };

class Disk {
  readonly files: SimFiles;
  readonly #ends: (() => void)[] = [];
  failsSyncs = false;

  constructor(seed = 1) {
    this.files = new SimFiles(seededEntropy(seed));
    this.files.later = (end) => void this.#ends.push(end);
    this.files.fault = (operation, call) =>
      this.failsSyncs && operation === 'outbox:sync' && call === 'syncData' ? 'EIO' : undefined;
  }

  get syncing(): number {
    return this.#ends.length;
  }

  /** Ends the sync that is under way. */
  end(): void {
    this.#ends.shift()?.();
  }

  /** The power goes, also for whoever waits for a sync. */
  cut(): void {
    this.#ends.length = 0;
    this.files.powerCut();
  }
}

/** The database is another one each time: nothing of it is asked here, and a life that is cut leaves its own locked. */
let lives = 0;

function openSpec(directory: string) {
  const life = join(directory, `life-${++lives}`);
  mkdirSync(life);
  const place = (name: string): string => join(life, name);
  const files = { path: place('weir.db'), outbox: '/data/outbox', quarantine: place('quarantine') };
  return { ...files, quotaBytes: 4_194_304, reserveBytes: 0, stamp };
}

function open(directory: string, disk: Disk) {
  const ports = { sqlite: systemSqlite(), files: disk.files, fileSystem, entropy: seededEntropy(1) };
  const engine = new Engine({ ...ports, onRenewed: () => undefined }, openSpec(directory));
  const { epochs } = engine.open();
  const results: CommitResult[] = [];
  const commit = (order: CommitOrder, spec: Omit<CommitSpec, 'order'>): void =>
    engine.commitLater({ ...spec, order }, (result) => void results.push(result));
  const messages = (from: number, to: number, confirms: readonly Confirmation[] = []): Omit<CommitSpec, 'order'> =>
    specOf(numbers(from, to), { epochs, confirms });
  const stored = (): number[] => {
    const { bytes, byteLength, count } = engine.read({
      lane,
      afterOffset: 0,
      messagesMax: 1000,
      bytesMax: 1_000_000,
      stamp,
    });
    const reader = new ByteReader(Buffer.from(bytes, 0, byteLength));
    return Array.from({ length: count }, () => {
      reader.float64();
      reader.float64();
      return sequenceOf(readRecord(reader.bytes(reader.uint32()), 0));
    });
  };
  return { engine, epochs, results, commit, messages, stored };
}

type Numbered = readonly (readonly [sequence: number, queue: string])[];

const numbers = (from: number, to: number, queue = '$upstream'): Numbered =>
  Array.from({ length: to - from + 1 }, (_, index) => [from + index, queue] as const);

function specOf(
  list: Numbered,
  { epochs, confirms = [] }: { readonly epochs: CommitSpec['epochs']; readonly confirms?: readonly Confirmation[] },
): Omit<CommitSpec, 'order'> {
  const batch = new CommitBatch();
  for (const [sequence, queue] of list)
    batch.append(numberedMessage(sequence, { hop: { stream: 's', sequence } }), [into(queue)], {
      waiter: nobody,
      now: stamp,
    });
  return batch.seal({
    order: { number: 0, follows: undefined },
    epochs,
    stamp,
    confirms,
    held: [],
    journal: undefined,
  });
}

t.test('nothing is answered before its sync has ended', (t: Test) => {
  const disk = new Disk();
  const { engine, results, commit, messages, stored } = open(t.testdir(), disk);
  commit({ number: 1, follows: undefined }, messages(1, 3));
  t.equal(disk.syncing, 1);
  t.same(results, []);
  t.throws(() => engine.lanes(stamp), /during a sync/, 'and nothing else is done meanwhile');
  disk.end();
  t.match(results, [{ outboxFailure: undefined, outcomes: new Uint8Array(3) }]);
  commit({ number: 2, follows: 1 }, messages(4, 5));
  t.equal(results.length, 1);
  disk.end();
  t.same(stored(), [1, 2, 3, 4, 5]);
  engine.close();
  t.end();
});

t.test(
  'the power goes between the syncs of two commits: the first is there, the second as a whole or not',
  (t: Test) => {
    const directory = t.testdir();
    const seen = new Set<number>();
    for (let round = 0; round < 20; round++) {
      const disk = new Disk(round + 1);
      const first = open(directory, disk);
      first.commit({ number: 1, follows: undefined }, first.messages(1, 3));
      disk.end();
      t.equal(first.results.length, 1);
      first.commit({ number: 2, follows: 1 }, first.messages(4, 4 + round));
      t.equal(first.results.length, 1);
      disk.cut();
      const second = open(directory, disk);
      const found = second.stored();
      t.same(found.slice(0, 3), [1, 2, 3]);
      t.ok(found.length === 3 || found.length === 4 + round, `${found.length} are there`);
      seen.add(found.length === 3 ? 0 : 1);
      second.engine.close();
    }
    t.ok(seen.has(0), 'a frame that was not synced is lost at times');
    t.end();
  },
);

t.test('a commit behind one whose sync failed stores nothing, however well the disk is by then', (t: Test) => {
  const directory = t.testdir();
  const disk = new Disk();
  const { results, commit, messages, stored } = open(directory, disk);
  commit({ number: 1, follows: undefined }, messages(1, 2));
  disk.end();
  disk.failsSyncs = true;
  commit({ number: 2, follows: undefined }, messages(3, 5));
  disk.end();
  disk.failsSyncs = false;
  t.match(results[1]?.outboxFailure, { code: 'STORE_UNAVAILABLE' });
  commit({ number: 3, follows: 2 }, messages(6, 8, [{ lane, offset: 1 }]));
  t.equal(disk.syncing, 0, 'it is not even written');
  t.match(results[2], { outboxFailure: { code: 'STORE_UNAVAILABLE' }, appended: [] });
  commit({ number: 4, follows: 3 }, messages(6, 8));
  t.match(results[3], { outboxFailure: { code: 'STORE_UNAVAILABLE' } }, 'nor is what was sent behind that');
  t.same(stored(), [1, 2], 'its confirmation does not count either');
  commit({ number: 5, follows: undefined }, messages(3, 8));
  disk.end();
  t.match(results[4], { outboxFailure: undefined, outcomes: new Uint8Array(6) }, 'no position has moved meanwhile');
  disk.cut();
  const after = open(directory, disk);
  t.same(after.stored(), [1, 2, 3, 4, 5, 6, 7, 8]);
  after.engine.close();
  t.end();
});

t.test('a commit behind one that never came stores nothing', (t: Test) => {
  const { engine, results, commit, messages, stored } = open(t.testdir(), new Disk());
  commit({ number: 8, follows: 7 }, messages(1, 3));
  t.match(results, [{ outboxFailure: { code: 'STORE_UNAVAILABLE', retryable: true } }]);
  t.same(stored(), []);
  engine.close();
  t.end();
});

t.test('a stream of which the commit ahead refused a message is held, others are not', (t: Test) => {
  const disk = new Disk();
  const { engine, epochs, results, commit } = open(t.testdir(), disk);
  for (let index = 0; index < outboxLanesMax; index += 512) {
    const list = Array.from({ length: 512 }, (_, n) => [1 + index + n, `m${index + n}/inputs/i`] as const);
    commit({ number: 1, follows: undefined }, specOf(list, { epochs }));
    disk.end();
  }
  const at = outboxLanesMax;
  const one = specOf(
    [
      [at + 1, 'm1/inputs/i'],
      [at + 2, 'one/inputs/too-many'],
      [at + 3, 'm1/inputs/i'],
    ],
    { epochs },
  );
  commit({ number: 2, follows: 1 }, one);
  disk.end();
  const told = (result: CommitResult | undefined): number[] => [...(result?.outcomes ?? [])];
  const [stored, refused, held] = [0, 2, 3];
  t.same(told(results.at(-1)), [stored, refused, held]);
  t.same(results.at(-1)?.held, [streamKey(numberedMessage(1).sender, 's')]);
  commit({ number: 3, follows: 2 }, specOf(numbers(at + 4, at + 5, 'm1/inputs/i'), { epochs }));
  t.same(told(results.at(-1)), [held, held], 'what was on its way behind it');
  commit({ number: 4, follows: undefined }, specOf(numbers(at + 2, at + 5, 'm1/inputs/i'), { epochs }));
  disk.end();
  t.same(told(results.at(-1)), [stored, stored, stored, stored], 'what is sent again is taken');
  engine.close();
  t.end();
});

t.test(
  'the thread: the next commit is written before the last is answered, replies keep their order, reads wait',
  (t: Test) => {
    const disk = new Disk();
    const replies: string[] = [];
    let receive = (_request: Request): void => undefined;
    const pipe = {
      post: (message: unknown): void => {
        const reply = message as FromThread;
        replies.push(`${reply.kind} ${reply.kind === 'notice' ? '' : reply.id}, ${disk.syncing} under way`);
      },
      onMessage: (listener: (message: unknown) => void): void => {
        receive = listener;
      },
    };
    serveStore(pipe, { sqlite: systemSqlite(), files: disk.files, fileSystem, entropy: seededEntropy(1) });
    receive({ id: 1, name: 'open', body: openSpec(t.testdir()) });
    const epochs = { outbox: '0'.repeat(16), file: '0'.repeat(16) };
    const commit = (id: number, number: number, follows?: number): void =>
      receive({ id, name: 'commit', body: { ...specOf(numbers(id, id), { epochs }), order: { number, follows } } });
    replies.length = 0;
    commit(2, 1);
    commit(3, 2, 1);
    receive({ id: 4, name: 'lanes', body: { stamp } });
    commit(5, 3);
    t.same(replies, []);
    disk.end();
    t.same(replies, ['reply 2, 1 under way'], 'the second is under way when the first is answered');
    disk.failsSyncs = true;
    disk.end();
    t.same(replies.slice(1), ['reply 3, 0 under way', 'reply 4, 0 under way'], 'the lanes come in their turn');
    disk.failsSyncs = false;
    receive({ id: 6, name: 'close', body: null });
    disk.end();
    t.same(replies.slice(3), ['reply 5, 0 under way', 'reply 6, 0 under way']);
    t.equal(disk.files.openFiles, 0);
    t.end();
  },
);
