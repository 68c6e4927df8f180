// The pace against simulated senders: how long they wait, and how many share a commit.

import t, { type Test } from 'tap';
import { Pace, type PaceOptions } from '../../src/store/pace.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

const options: PaceOptions = { delayMsMin: 5, delayMsMax: 200, messagesMax: 256, bytesMax: 65_536 };
const messageBytes = 330;

interface Figures {
  readonly commits: number;
  readonly messages: number;
  readonly perCommit: number;
  readonly waitMsMean: number;
  readonly waitMsMax: number;
}

interface Sender {
  /** When its next message comes; undefined: it waits for an acknowledgement. */
  nextMs: number | undefined;
  /** What follows: after an acknowledgement (closed), or after sending (open). */
  sent(nowMs: number): void;
  acknowledged(nowMs: number): void;
}

function open(gapMs: () => number): Sender {
  const sender: Sender = {
    nextMs: 0,
    sent: (nowMs) => {
      sender.nextMs = nowMs + gapMs();
    },
    acknowledged: () => undefined,
  };
  return sender;
}

function closed(thinkMs: number): Sender {
  const sender: Sender = {
    nextMs: 0,
    sent: () => {
      sender.nextMs = undefined;
    },
    acknowledged: (nowMs) => {
      sender.nextMs = nowMs + thinkMs;
    },
  };
  return sender;
}

/** Plays senders against a disk that takes `syncMs` for each commit. */
function play(senders: readonly Sender[], forMs: number, syncMs = 4, pace = new Pace(options)): Figures {
  let waiting: { sender: Sender; sinceMs: number }[] = [];
  let flying: { sender: Sender; sinceMs: number }[] | undefined;
  let doneMs = 0;
  const waits: number[] = [];
  let commits = 0;
  for (let nowMs = 0; nowMs < forMs; ) {
    const dueMs =
      flying !== undefined || waiting[0] === undefined
        ? Number.POSITIVE_INFINITY
        : pace.dueMs({
            messages: waiting.length,
            bytes: waiting.length * messageBytes,
            sinceMs: waiting[0].sinceMs,
          });
    const arrivalMs = Math.min(...senders.map(({ nextMs }) => nextMs ?? Number.POSITIVE_INFINITY));
    const flightMs = flying === undefined ? Number.POSITIVE_INFINITY : doneMs;
    nowMs = Math.max(nowMs, Math.min(dueMs, arrivalMs, flightMs));
    if (flying !== undefined && flightMs <= nowMs) {
      for (const { sender, sinceMs } of flying) {
        waits.push(nowMs - sinceMs);
        sender.acknowledged(nowMs);
      }
      flying = undefined;
    } else if (dueMs <= nowMs) {
      commits++;
      pace.committed(waiting.length);
      flying = waiting;
      waiting = [];
      doneMs = nowMs + syncMs;
    } else {
      for (const sender of senders) {
        if (sender.nextMs === undefined || sender.nextMs > nowMs) continue;
        pace.arrived(nowMs, 1, waiting.length > 0);
        waiting.push({ sender, sinceMs: nowMs });
        sender.sent(nowMs);
      }
    }
  }
  return {
    commits,
    messages: waits.length,
    perCommit: waits.length / commits,
    waitMsMean: waits.reduce((a, b) => a + b, 0) / waits.length,
    waitMsMax: Math.max(...waits),
  };
}

t.test('a sender that waits for each answer hardly waits for company that never comes', async (t: Test) => {
  const figures = play([closed(1)], 60_000);
  t.ok(figures.waitMsMean < 10, `${figures.waitMsMean} ms, of which 9 are the floor and the disk`);
  t.ok(figures.messages > 5500, `${figures.messages} messages a minute`);
});

t.test('a message a second goes after the shortest wait', async (t: Test) => {
  const { waitMsMax, perCommit } = play([open(() => 1000)], 60_000);
  t.equal(perCommit, 1);
  t.equal(waitMsMax, 9);
});

t.test('at a hundred a second, regular or at random, a commit gathers about sixteen', async (t: Test) => {
  const entropy = seededEntropy(7);
  const regular = play([open(() => 10)], 60_000);
  const random = play([open(() => -Math.log(1 - entropy.fraction()) * 10)], 60_000);
  const ten = play(
    Array.from({ length: 10 }, (_, index) => {
      const sender = open(() => 100);
      sender.nextMs = index * 10;
      return sender;
    }),
    60_000,
  );
  for (const { perCommit, waitMsMax } of [regular, random, ten]) {
    t.ok(perCommit >= 10, `${perCommit} messages a commit`);
    t.ok(waitMsMax <= 210, `${waitMsMax} ms at most`);
  }
});

t.test('at ten thousand a second a commit goes as soon as the shortest wait is over', async (t: Test) => {
  const { perCommit, waitMsMax } = play([open(() => 0.1)], 2000);
  t.ok(perCommit >= 50, `${perCommit} messages a commit`);
  t.ok(waitMsMax <= 20, `${waitMsMax} ms at most`);
});

t.test('a crowd that was answered together goes again when it is back', async (t: Test) => {
  const { perCommit, waitMsMean } = play(
    Array.from({ length: 40 }, () => closed(1)),
    10_000,
  );
  t.ok(perCommit >= 39, `${perCommit} messages a commit`);
  t.ok(waitMsMean <= 6, `${waitMsMean} ms: the disk, and nothing for company`);
});

t.test('a few that are answered together wait little more than the shortest time', async (t: Test) => {
  for (const few of [2, 5, 12]) {
    const { waitMsMean } = play(
      Array.from({ length: few }, (_, index) => closed(1 + index / 10)),
      10_000,
    );
    t.ok(waitMsMean <= 14, `${few}: ${waitMsMean} ms`);
  }
});

t.test('bursts go together, soon after their end', async (t: Test) => {
  let left = 0;
  const sender = open(() => {
    left = left === 0 ? 9 : left - 1;
    return left === 9 ? 1000 : 0.5;
  });
  const { perCommit, waitMsMean } = play([sender], 60_000);
  t.ok(perCommit >= 9, `${perCommit} messages a commit`);
  t.ok(waitMsMean <= 15, `${waitMsMean} ms`);
});

t.test('what is full goes at once, and a longest wait below the shortest holds', async (t: Test) => {
  const pace = new Pace(options);
  const waiting = { messages: 1, bytes: 10, sinceMs: 100 };
  t.equal(pace.dueMs({ ...waiting, messages: 256 }), 100);
  t.equal(pace.dueMs({ ...waiting, bytes: 65_536 }), 100);
  t.equal(pace.dueMs(waiting), 105);
  t.equal(new Pace({ ...options, delayMsMax: 0 }).dueMs(waiting), 100);
});

t.test(
  'lengthened, few messages share commits that had one each, and never wait less than configured',
  async (t: Test) => {
    const few = (): Sender => open(() => 500);
    t.ok(play([few()], 60_000).perCommit < 1.1);
    const pace = new Pace(options);
    pace.lengthen(2_000);
    const { perCommit, waitMsMax } = play([few()], 60_000, 4, pace);
    t.ok(perCommit >= 3, `${perCommit} messages a commit`);
    t.ok(waitMsMax <= 2_010, `${waitMsMax} ms at most`);
    pace.lengthen(10);
    t.ok(play([few()], 60_000, 4, pace).perCommit < 1.2, 'as configured again');
  },
);

t.test('who sent much and then sends little is answered soon again', async (t: Test) => {
  const pace = new Pace(options);
  play([open(() => 10)], 10_000, 4, pace);
  const { waitMsMean } = play([closed(1)], 10_000, 4, pace);
  t.ok(waitMsMean < 12, `${waitMsMean} ms`);
});
