// When commits are sent, and what becomes of those who wait: the thread is a list of what was sent to it.

import t, { type Test } from 'tap';
import { priorityUnset } from '../../src/model/lane.ts';
import { StoreError } from '../../src/store/errors.ts';
import { GroupCommit, type Rider } from '../../src/store/group-commit.ts';
import type { CommitResult, CommitSpec, Failure } from '../../src/store/thread-protocol.ts';
import { numberedMessage } from '../support/messages.ts';
import { SimClock, settle } from '../support/sim-clock.ts';

const lane = { queue: '$upstream', priority: priorityUnset, live: false };
const target = { ...lane, timeToLiveMs: undefined };
const followMin = 4;
const delayMs = 20;
const full: Failure = { code: 'STORE_DISK_FULL', message: 'no space is left', retryable: true };

interface Sent {
  readonly spec: CommitSpec;
  readonly answer: (over?: Partial<CommitResult>) => Promise<void>;
  readonly refuse: () => Promise<void>;
}

function stage({ idle = () => true, ...rider }: { readonly idle?: () => boolean } & Partial<Pick<Rider, 'seal'>> = {}) {
  const clock = new SimClock();
  const sent: Sent[] = [];
  const sealed: number[] = [];
  const told: string[] = [];
  const journal: Rider = {
    get idle() {
      return idle();
    },
    crowd: 0,
    bytes: 0,
    dueMs: () => Number.POSITIVE_INFINITY,
    seal: () => undefined,
    committed: () => undefined,
    failed: () => undefined,
    close: () => undefined,
    ...rider,
  };
  const commits = new GroupCommit(
    {
      clock,
      journal,
      epochs: () => ({ outbox: '0123456789abcdef', file: '0123456789abcdef' }),
      onCommitted: () => undefined,
      send: (spec) =>
        new Promise((resolve, reject) => {
          sealed.push(spec.count);
          sent.push({
            spec,
            answer: async (over = {}) => {
              resolve({ ...resultOf(spec), ...over });
              await settle();
            },
            refuse: async () => {
              reject(new StoreError(full));
              await settle();
            },
          });
        }),
    },
    { delayMsMin: delayMs, delayMsMax: delayMs, messagesMax: followMin, bytesMax: 1_000_000 },
  );
  const append = (from: number, to: number): void => {
    for (let n = from; n <= to; n++)
      commits.append(numberedMessage(n, { hop: { stream: 's', sequence: n } }), [target]).then(
        (outcome) => told.push(`${n} ${outcome}`),
        (error: StoreError) => told.push(`${n} ${error.code}`),
      );
  };
  const orders = (): (number | undefined)[][] => sent.map(({ spec: { order } }) => [order?.number, order?.follows]);
  return { clock, commits, sent, sealed, told, append, orders };
}

function resultOf(spec: CommitSpec): CommitResult {
  return {
    spent: { entries: spec.entries.bytes, records: spec.records.bytes },
    outcomes: new Uint8Array(spec.count),
    documentOutcomes: new Uint8Array(spec.documents.length),
    appended: spec.lanes.map((_, index) => index),
    dropped: [],
    held: [],
    mqttBytes: 0,
    outboxFailure: undefined,
    space: { freeBytes: undefined, reserveBytes: 0, low: false },
  };
}

t.test('a second commit goes beside the first when as many wait, and never a third', async (t: Test) => {
  const { clock, sent, sealed, told, append, orders } = stage();
  append(1, followMin);
  await clock.advance(0);
  t.same(sealed, [followMin], 'a full commit goes at once');
  append(5, 7);
  await clock.advance(10 * delayMs);
  t.same(sealed, [followMin], 'fewer than the first wait for its end');
  append(8, 8);
  t.same(sealed, [followMin, followMin], 'as many do not');
  append(9, 30);
  await clock.advance(10 * delayMs);
  t.same(sealed, [followMin, followMin], 'two are the most');
  await sent[0]?.answer();
  t.same(
    told,
    [1, 2, 3, 4].map((n) => `${n} stored`),
    'each answer is that of its own commit',
  );
  t.same(sealed, [followMin, followMin, 22]);
  t.same(
    orders(),
    [
      [1, undefined],
      [2, 1],
      [3, 2],
    ],
    'what is sent behind a commit that was not answered says so',
  );
  await sent[1]?.answer();
  append(31, 45);
  t.equal(sealed.length, 3, 'fewer than are under way do not follow them');
  await sent[2]?.answer();
  await clock.advance(delayMs);
  t.same(orders()[3], [4, undefined], 'alone again');
  t.equal(told.length, 30);
});

t.test('a document or MQTT state keeps a second commit from going', async (t: Test) => {
  let idle = true;
  const { clock, commits, sent, sealed, append } = stage({
    idle: () => idle,
  });
  append(1, followMin);
  const saved = commits.save({ table: 'state', key: 'k', document: 'v' });
  append(11, 20);
  await clock.advance(delayMs);
  t.equal(sealed.length, 1);
  await sent[0]?.answer();
  t.same(
    sent[1]?.spec.documents.map(({ key }) => key),
    ['k'],
    'it goes with the next',
  );
  idle = false;
  append(21, 40);
  await clock.advance(delayMs);
  t.equal(sealed.length, 2, 'what the journal has goes with a commit that is alone');
  await sent[1]?.answer();
  await saved;
  t.equal(sealed.length, 3);
});

for (const how of ['the outbox fails', 'the commit is refused'] as const) {
  t.test(`${how}: nothing follows what is doomed, and what gathered is refused`, async (t: Test) => {
    const { clock, sent, sealed, told, append, orders } = stage();
    append(1, 4);
    append(5, 8);
    append(9, 10);
    t.same(sealed, [4, 4]);
    await (how === 'the outbox fails' ? sent[0]?.answer({ outboxFailure: full }) : sent[0]?.refuse());
    t.same(
      told,
      [1, 2, 3, 4, 9, 10].map((n) => `${n} STORE_DISK_FULL`),
      'those of the second wait for its own answer',
    );
    append(1, 10);
    await clock.advance(10 * delayMs);
    t.same(sealed, [4, 4], 'what is sent again does not go behind what will be refused');
    await sent[1]?.answer({ outboxFailure: full });
    t.equal(told.length, 20, 'what overtook the second is refused with it');
    t.notOk(told.some((line) => line.endsWith('stored')));
    append(1, 10);
    await clock.advance(delayMs);
    t.same(
      orders().slice(2),
      [
        [3, undefined],
        [4, 3],
      ],
      'then it begins anew',
    );
    await sent[2]?.answer();
    await sent[3]?.answer();
    await clock.advance(delayMs);
    await sent[4]?.answer();
    t.equal(told.filter((line) => line.endsWith('stored')).length, 10);
  });
}

t.test(
  'confirmations of both commits are tried again when they fail, behind what has come further meanwhile',
  async (t: Test) => {
    const { clock, commits, sent, append } = stage();
    let settled = 0;
    const confirm = (offset: number): void => void commits.confirm(lane, offset).then(() => settled++);
    confirm(3);
    append(1, 4);
    confirm(5);
    append(5, 8);
    confirm(9);
    await sent[0]?.answer({ outboxFailure: full });
    await sent[1]?.answer({ outboxFailure: full });
    await clock.advance(2000);
    t.equal(settled, 0);
    t.same(sent[2]?.spec.confirms, [{ lane, offset: 9 }]);
    await sent[2]?.answer();
    t.equal(settled, 3);
  },
);

t.test(
  'a refused message: its stream is held in the next commit, and close() brings what that left behind',
  async (t: Test) => {
    let idle = true;
    const journals: number[] = [];
    const { commits, sent, append } = stage({
      idle: () => idle,
      seal: () => {
        if (idle) return undefined;
        idle = true;
        journals.push(sent.length);
        return { bytes: new ArrayBuffer(8), byteLength: 8 } as unknown as ReturnType<Rider['seal']>;
      },
    });
    append(1, 4);
    append(5, 8);
    append(9, 9);
    idle = false;
    const closing = commits.close();
    await sent[0]?.answer({ held: ['gateway/modbus s'] });
    t.same(sent[2]?.spec.held, ['gateway/modbus s']);
    t.equal(sent[2]?.spec.order?.follows, 2);
    t.equal(sent[2]?.spec.journal, undefined);
    await sent[1]?.answer();
    await sent[2]?.answer();
    t.same(journals, [3], 'the MQTT state goes alone');
    await sent[3]?.answer();
    await closing;
  },
);
