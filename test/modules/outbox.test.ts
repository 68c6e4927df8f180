import t from 'tap';
import { Outbox } from '../../src/modules/outbox.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

interface Entry {
  readonly n: number;
  readonly bytes: number;
}
const entry = (n: number, bytes = 1): Entry => ({ n, bytes });
const numbers = (entries: readonly Entry[]): readonly number[] => entries.map(({ n }) => n);

t.test('entries leave in order and are gone when acknowledged', async (t) => {
  const outbox = new Outbox<Entry>({ messagesMax: 10, bytesMax: 100 });
  for (const n of [1, 2, 3]) outbox.push(entry(n));
  const first = outbox.take();
  const second = outbox.take();
  t.same([first?.n, second?.n], [1, 2]);
  t.equal(outbox.acknowledge(second!), true);
  t.equal(outbox.acknowledge(second!), false, 'only once');
  t.equal(outbox.messages, 2);
  t.equal(outbox.bytes, 2);
});

t.test('after the end of a connection what was in flight comes first again', async (t) => {
  const outbox = new Outbox<Entry>({ messagesMax: 10, bytesMax: 100 });
  for (const n of [1, 2, 3, 4]) outbox.push(entry(n));
  const [, second] = [outbox.take(), outbox.take(), outbox.take()];
  outbox.acknowledge(second!);
  outbox.rewind();
  t.same([outbox.take()?.n, outbox.take()?.n, outbox.take()?.n, outbox.take()?.n], [1, 3, 4, undefined]);
});

t.test(
  'a full outbox gives up its oldest waiting entries, by number and by bytes, never what is in flight',
  async (t) => {
    const outbox = new Outbox<Entry>({ messagesMax: 3, bytesMax: 10 });
    for (const n of [1, 2, 3]) outbox.push(entry(n));
    outbox.take();
    t.same(numbers(outbox.push(entry(4))), [2]);
    t.same(numbers(outbox.push(entry(5, 9))), [3, 4]);
    t.same(numbers(outbox.push(entry(6, 50))), [5], 'the newest is kept, even when it is over the limit alone');
    t.same(numbers(outbox.clear()), [1, 6]);
    t.equal(outbox.bytes, 0);
    t.equal(outbox.messages, 0);
  },
);

t.test('whatever happens, bytes and numbers stay right and the order is kept', async (t) => {
  const entropy = seededEntropy(3);
  const outbox = new Outbox<Entry>({ messagesMax: 50, bytesMax: 2000 });
  const inFlight: Entry[] = [];
  let next = 0;
  let lastTaken = 0;
  for (let step = 0; step < 20_000; step += 1) {
    const dice = entropy.fraction();
    if (dice < 0.5) {
      next += 1;
      outbox.push(entry(next, 1 + Math.floor(entropy.fraction() * 100)));
    } else if (dice < 0.8) {
      const taken = inFlight.length < 20 ? outbox.take() : undefined;
      if (taken !== undefined) {
        if (taken.n <= lastTaken) throw new Error(`${taken.n} after ${lastTaken}`);
        lastTaken = taken.n;
        inFlight.push(taken);
      }
    } else if (dice < 0.99) {
      const done = inFlight.splice(Math.floor(entropy.fraction() * inFlight.length), 1)[0];
      if (done !== undefined && !outbox.acknowledge(done)) throw new Error('not in flight');
    } else {
      outbox.rewind();
      inFlight.length = 0;
      lastTaken = 0;
    }
    if (outbox.messages > 50) throw new Error(`${outbox.messages} messages`);
  }
  const rest = outbox.clear();
  t.same(
    numbers(rest),
    [...numbers(rest)].sort((a, b) => a - b),
  );
  t.equal(outbox.bytes, 0);
});
