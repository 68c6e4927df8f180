import t from 'tap';
import { hubStreamsPerDeviceMax } from '../../src/limits.ts';
import { appendAll, hubState, sample } from '../support/hub-state.ts';

const hop = (stream: string, sequence: number) => ({ hop: { stream, sequence } });

t.test('repetitions are recognised inside a batch, between batches and after a restart', async (t) => {
  const directory = t.testdir();
  const first = hubState(directory);
  t.equal(appendAll(first, [sample('1', hop('s', 1)), sample('1', hop('s', 1)), sample('2', hop('s', 2))]), 2);
  t.equal(appendAll(first, [sample('2', hop('s', 2)), sample('3', hop('s', 3))]), 1);
  first.database.close();
  const second = hubState(directory);
  t.equal(appendAll(second, [sample('3', hop('s', 3)), sample('4', hop('s', 4))]), 1);
  t.equal(second.eventLog.facts().events, 4);
  t.equal(second.eventLog.facts().repeated, 3);
  second.database.close();
});

t.test('streams are apart by name and by device; messages without a hop always count as new', async (t) => {
  const hub = hubState(t.testdir());
  const other = { sender: { deviceId: 'other' } };
  t.equal(
    appendAll(hub, [sample('a', hop('s', 5)), sample('b', hop('u', 5)), sample('c', { ...hop('s', 5), ...other })]),
    3,
  );
  t.equal(appendAll(hub, [sample('d'), sample('d')]), 2);
  hub.database.close();
});

t.test('a hole in the sequence is accepted: the sender dropped something, and said so there', async (t) => {
  const hub = hubState(t.testdir());
  t.equal(appendAll(hub, [sample('1', hop('s', 1)), sample('9', hop('s', 9)), sample('5', hop('s', 5))]), 2);
  hub.database.close();
});

t.test('a device keeps a limited number of streams; the one unused for longest is forgotten', async (t) => {
  const hub = hubState(t.testdir());
  for (let index = 0; index < hubStreamsPerDeviceMax; index += 1) {
    appendAll(hub, [sample('x', hop(`s${index}`, 1))]);
    if (index === 0) await hub.clock.advance(1);
  }
  await hub.clock.advance(1);
  appendAll(hub, [sample('x', hop('s0', 2))]);
  await hub.clock.advance(1);
  appendAll(hub, [sample('x', hop('new', 1))]);
  const streams = hub.database.all<{ stream: string }>('SELECT stream FROM position').map((row) => row.stream);
  t.equal(streams.length, hubStreamsPerDeviceMax);
  t.ok(streams.includes('new'));
  t.ok(streams.includes('s0'), 'the one used lately stays');
  hub.database.close();
});

t.test('the stream of a gateway is its own, whosever messages it carries', async (t) => {
  const hub = hubState(t.testdir());
  const leaf = (sequence: number) => ({ ...hop('s', sequence), sender: { deviceId: 'leaf' }, carrier: 'gw' });
  t.equal(appendAll(hub, [sample('a', hop('s', 1)), sample('b', leaf(2)), sample('c', hop('s', 3))]), 3);
  t.equal(appendAll(hub, [sample('b', leaf(2)), sample('d', leaf(4))]), 1);
  t.equal(hub.positions.last('gw', 's'), 4);
  t.equal(hub.positions.last('leaf', 's'), 0, 'what the leaf device counts itself is another stream');
  hub.database.close();
});
