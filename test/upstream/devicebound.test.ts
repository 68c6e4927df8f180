import t from 'tap';
import { upstreamFiltersPerPacket } from '../../src/limits.ts';
import { WeirError } from '../../src/model/errors.ts';
import { DeviceboundRelay } from '../../src/upstream/devicebound.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';

function setUp() {
  const said: string[] = [];
  const granted: number[] = [];
  const client = {
    subscribe: (filters: readonly { readonly filter: string; readonly qos: 0 | 1 }[]) => {
      said.push(`+${filters.map(({ filter, qos }) => `${filter}@${qos}`).join(',')}`);
      return Promise.resolve(filters.map((_, index) => granted[index] ?? 1));
    },
    unsubscribe: (filters: readonly string[]) => {
      said.push(`-${filters.join(',')}`);
      return Promise.resolve();
    },
  };
  return { relay: new DeviceboundRelay(keptLog(new SimClock()).log), client, said, granted };
}

const leaf = { deviceId: 'leaf' };

t.test('the hub is told who listens: at once, after each connect, and only of changes', (t) => {
  const { relay, client, said } = setUp();
  relay.listen(leaf, true);
  relay.listen({ deviceId: 'other' }, true);
  relay.listen({ deviceId: 'other' }, false);
  t.strictSame(said, [], 'without a connection nothing is said');
  relay.attach(client);
  relay.listen(leaf, true);
  relay.listen({ deviceId: 'late' }, true);
  relay.listen(leaf, false);
  t.strictSame(said.splice(0), [
    '+devices/leaf/messages/devicebound/#@1',
    '+devices/late/messages/devicebound/#@1',
    '-devices/leaf/messages/devicebound/#',
  ]);
  relay.detach();
  relay.listen(leaf, true);
  t.strictSame(said, []);
  relay.attach(client);
  t.strictSame(said, ['+devices/late/messages/devicebound/#@1,devices/leaf/messages/devicebound/#@1']);
  t.end();
});

t.test('many leaf devices are told in packets of a bounded size', (t) => {
  const { relay, client, said } = setUp();
  for (let number = 0; number <= upstreamFiltersPerPacket; number += 1) relay.listen({ deviceId: `d${number}` }, true);
  relay.attach(client);
  t.strictSame(
    said.map((line) => line.split(',').length),
    [upstreamFiltersPerPacket, 1],
  );
  t.end();
});

t.test('a message is settled by what became of it at the leaf', async (t) => {
  const { relay } = setUp();
  const bag = '$.mid=7&iothub-ack=full&k=v&%24.lock=1f';
  t.equal(await relay.receive('leaf', bag, Buffer.from('x')), '$iothub/messages/res/404/?$rid=1f', 'nobody takes it');
  const seen: unknown[] = [];
  relay.take((device, message) => {
    seen.push([device, message]);
    return Promise.resolve();
  });
  t.equal(await relay.receive('leaf', bag, Buffer.from('x')), '$iothub/messages/res/200/?$rid=1f');
  t.strictSame(seen, [
    [leaf, { system: { messageId: '7' }, properties: { 'iothub-ack': 'full', k: 'v' }, body: Buffer.from('x') }],
  ]);
  for (const [code, status] of [
    ['IOTHUB_NOT_LISTENING', 404],
    ['BROKER_CLIENT_GONE', 410],
  ] as const) {
    relay.take(() => Promise.reject(new WeirError({ code, message: '' })));
    t.equal(await relay.receive('leaf', bag, Buffer.alloc(0)), `$iothub/messages/res/${status}/?$rid=1f`);
  }
  t.equal(await relay.receive('leaf', 'k=v', Buffer.alloc(0)), undefined, 'of a hub that asks for no settlement');
  t.equal(await relay.receive('leaf', '%zz', Buffer.alloc(0)), undefined);
});
