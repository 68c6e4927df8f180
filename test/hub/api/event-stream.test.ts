import t from 'tap';
import { eventStream } from '../../../src/hub/api/event-stream.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { appendAll, type HubState, hubState, sample } from '../../support/hub-state.ts';

function open(
  { eventLog }: HubState,
  options: { readonly follow: boolean; readonly afterOffset?: number; readonly deviceId?: string },
) {
  const stop = new AbortController();
  const lines = eventStream({
    eventLog,
    clock: systemClock(),
    afterOffset: options.afterOffset ?? 0,
    deviceId: options.deviceId,
    follow: options.follow,
    signal: stop.signal,
  });
  return { lines, stop };
}

const offsets = (text: string): number[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { offset: number }).offset);

t.test('without following, the stream holds what is there and ends', async (t) => {
  const hub = hubState(t.testdir());
  appendAll(
    hub,
    Array.from({ length: 600 }, () => sample('x')),
  );
  let text = '';
  let pieces = 0;
  for await (const piece of open(hub, { follow: false, afterOffset: 10 }).lines) {
    text += piece;
    pieces += 1;
  }
  t.same(
    offsets(text),
    Array.from({ length: 590 }, (_, index) => index + 11),
  );
  t.ok(pieces > 1, 'in pieces');
  hub.database.close();
});

t.test('an empty log, and a device that sent nothing, end at once', async (t) => {
  const hub = hubState(t.testdir());
  for await (const piece of open(hub, { follow: false }).lines) t.fail(piece);
  appendAll(hub, [sample('x')]);
  for await (const piece of open(hub, { follow: false, deviceId: 'nobody' }).lines) t.fail(piece);
  hub.database.close();
});

t.test('a follower gets what is committed while it waits, and what was committed while it wrote', async (t) => {
  const hub = hubState(t.testdir());
  const { lines, stop } = open(hub, { follow: true });
  const first = lines.next();
  appendAll(hub, [sample('x')]);
  t.same(offsets(String((await first).value)), [1]);
  appendAll(hub, [sample('x'), sample('x')]);
  t.same(offsets(String((await lines.next()).value)), [2, 3]);
  const waiting = lines.next();
  stop.abort();
  t.ok((await waiting).done);
  hub.database.close();
});

t.test('a follower that is dropped leaves nothing behind', async (t) => {
  const { eventLog, database } = hubState(t.testdir());
  let listening = 0;
  const counted = {
    read: eventLog.read.bind(eventLog),
    facts: eventLog.facts.bind(eventLog),
    onCommitted(wake: () => void) {
      listening += 1;
      const forget = eventLog.onCommitted(wake);
      return () => {
        listening -= 1;
        forget();
      };
    },
  };
  const stop = new AbortController();
  const lines = eventStream({
    eventLog: counted,
    clock: systemClock(),
    afterOffset: 0,
    deviceId: undefined,
    follow: true,
    signal: stop.signal,
  });
  const waiting = lines.next();
  t.equal(listening, 1);
  stop.abort();
  await waiting;
  t.equal(listening, 0);
  database.close();
});
