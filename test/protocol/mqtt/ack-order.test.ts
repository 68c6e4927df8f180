// The order of acknowledgements.

import t from 'tap';
import { AckOrder } from '../../../src/protocol/mqtt/ack-order.ts';

t.test('acknowledgements leave in the order of arrival, whatever is done first', async (t) => {
  const sent: number[] = [];
  const order = new AckOrder((_type, packetId) => sent.push(packetId));
  const [one, two, three] = [order.reserve(4, 1), order.reserve(4, 2), order.reserve(4, 3)];
  order.pass(4, 4);
  order.settle(three);
  order.settle(two);
  t.same(sent, []);
  t.equal(order.open, 4);
  order.settle(one);
  t.same(sent, [1, 2, 3, 4]);
  t.equal(order.open, 0);
  order.pass(4, 5);
  t.same(sent, [1, 2, 3, 4, 5]);
});

t.test('settling twice is a bug', async (t) => {
  const order = new AckOrder(() => undefined);
  const place = order.reserve(4, 1);
  order.settle(place);
  t.throws(() => order.settle(place));
});
