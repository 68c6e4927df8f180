import t, { type Test } from 'tap';
import { priorityUnset } from '../../src/model/lane.ts';
import type { Message } from '../../src/model/message.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import type { StoredMessage, StoreTarget } from '../../src/router/ports.ts';
import type { RouteSpec } from '../../src/router/route-set.ts';
import { Router } from '../../src/router/router.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { numberedMessage, sequenceOf } from '../support/messages.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

interface Appended {
  readonly message: Message;
  readonly targets: readonly StoreTarget[];
}

function world() {
  const clock = new SimClock();
  const appended: Appended[] = [];
  const store = new (class extends MemoryStore {
    override append(
      message: Message,
      targets: Appended['targets'],
      options: { readonly durable?: 'now' } = {},
    ): Promise<'stored' | 'duplicate'> {
      appended.push({ message, targets });
      return super.append(message, targets, options);
    }
  })(() => clock.wallMs());
  const metrics = createMetrics();
  const { log } = keptLog(clock);
  const router = new Router({ store, clock, log, metrics, entropy: seededEntropy(1) }, { timeToLiveSecs: 7200 });
  const value = (name: string): number | undefined => metrics.snapshot().find((sample) => sample.name === name)?.value;
  return { clock, store, router, appended, value };
}

const unset = { priority: priorityUnset, live: false };
const defaults = { timeToLiveSecs: 100 };
const route = (name: string, text: string, over: Partial<RouteSpec> = {}): RouteSpec => ({ name, text, ...over });

t.test('without routes everything goes upstream and lives for the default time', async (t: Test) => {
  const { router, appended } = world();
  await router.accept(numberedMessage(1));
  t.same(appended[0]?.targets, [{ queue: '$upstream', ...unset, timeToLiveMs: 7_200_000 }]);
  t.same(router.queues(), ['$upstream']);
});

t.test('a message no route takes is acknowledged, dropped and counted', async (t: Test) => {
  const { router, appended, value } = world();
  t.same(router.setRoutes([route('r', 'FROM /messages/modules/other/* INTO $upstream')], defaults), []);
  await router.accept(numberedMessage(1));
  t.same(appended, []);
  t.equal(value('router_messages_dropped_total'), 1);
});

t.test('one endpoint gets one copy: the smallest priority number decides, with its time to live', async (t: Test) => {
  const { router, appended } = world();
  router.setRoutes(
    [
      route('late', 'FROM /* INTO $upstream', { timeToLiveSecs: 1 }),
      route('five', 'FROM /messages/* INTO $upstream', { priority: 5, timeToLiveSecs: 50 }),
      route('two', 'FROM /messages/modules/* INTO $upstream', { priority: 2 }),
      route(
        'input',
        'FROM /messages/modules/modbus/outputs/readings INTO BrokeredEndpoint("/modules/filter/inputs/in")',
        { timeToLiveSecs: 7 },
      ),
    ],
    defaults,
  );
  const message = numberedMessage(1);
  await router.accept(message);
  t.same(appended[0]?.targets, [
    { queue: '$upstream', priority: 2, live: false, timeToLiveMs: 100_000 },
    { queue: 'filter/inputs/in', ...unset, timeToLiveMs: 7000 },
  ]);
  t.equal(appended[0]?.message, message, 'the message itself, not a copy');
  t.same(router.queues(), ['$upstream', 'filter/inputs/in']);
});

t.test('a message that asks for it is committed at once, and keeps its property', async (t: Test) => {
  const { store, router, appended } = world();
  await router.accept(numberedMessage(1, { properties: { 'weir-durable': 'now' } }));
  await router.accept(numberedMessage(2, { properties: { 'weir-durable': 'later' } }));
  await router.accept(numberedMessage(3));
  t.same(store.durable, ['now', undefined, undefined]);
  t.same(appended[0]?.message.properties, { 'weir-durable': 'now' });
});

t.test('what the store refused or had already does not count as waiting', async (t: Test) => {
  const { clock, store, router, value } = world();
  const endpoint = { isReady: false, ready: () => new Promise<void>(() => undefined), send: () => Promise.resolve(0) };
  router.attach('$upstream', endpoint);
  router.start();
  const hop = { stream: 'm', sequence: 1 };
  await router.accept(numberedMessage(1, { hop }));
  await router.accept(numberedMessage(1, { hop }));
  store.failures.push({ name: 'append', error: new Error('full') });
  await t.rejects(router.accept(numberedMessage(2)));
  await clock.advance(1);
  t.equal(value('router_messages_waiting'), 1);
  clock.jumpWall(5000);
  t.ok((value('router_oldest_message_age_ms') ?? 0) >= 4000);
  await router.close();
});

t.test('a time to live of zero by default means for ever', async (t: Test) => {
  const { router, appended } = world();
  router.setRoutes([route('r', 'FROM /* INTO $upstream', { timeToLiveSecs: 0 })], { timeToLiveSecs: 0 });
  await router.accept(numberedMessage(1));
  t.equal(appended[0]?.targets[0]?.timeToLiveMs, undefined);
});

t.test('a bad route is named and does not take the others with it', async (t: Test) => {
  const { router, appended } = world();
  const problems = router.setRoutes(
    [
      route('typo', 'FROM /messages/* INTOO $upstream'),
      route('condition', 'FROM /messages/* WHERE x > 20 INTO $upstream'),
      route('priority', 'FROM /messages/* INTO $upstream', { priority: 10 }),
      route('ttl', 'FROM /messages/* INTO $upstream', { timeToLiveSecs: -1 }),
      route('good', 'FROM /messages/* INTO BrokeredEndpoint("/modules/a/inputs/b")'),
    ],
    defaults,
  );
  t.match(problems, [
    { route: 'typo', code: 'ROUTER_ROUTE_SYNTAX', column: 18, message: /Route typo, character 18: / },
    { route: 'condition', code: 'ROUTER_ROUTE_TYPE', column: 26, message: /write as_number\(x\)/ },
    { route: 'priority', code: 'ROUTER_ROUTE_SETTING_INVALID', column: undefined, message: /0 to 9/ },
    { route: 'ttl', code: 'ROUTER_ROUTE_SETTING_INVALID' },
  ]);
  await router.accept(numberedMessage(1));
  t.same(
    appended[0]?.targets.map(({ queue }) => queue),
    ['a/inputs/b'],
  );
});

t.test('new routes hold for the next message', async (t: Test) => {
  const { router, appended } = world();
  await router.accept(numberedMessage(1));
  router.setRoutes([route('r', 'FROM /* INTO BrokeredEndpoint("/modules/a/inputs/b")')], defaults);
  await router.accept(numberedMessage(2));
  t.same(
    appended.map(({ targets }) => targets[0]?.queue),
    ['$upstream', 'a/inputs/b'],
  );
});

t.test('accept rejects when the store does, and takes nothing once it is closed', async (t: Test) => {
  const { store, router } = world();
  store.failures.push({ name: 'append', error: new Error('disk full') });
  await t.rejects(router.accept(numberedMessage(1)), { message: 'disk full' });
  await router.close();
  await t.rejects(router.accept(numberedMessage(2)), { code: 'ROUTER_CLOSED', retryable: true });
});

t.test('attached queues drain, before and after the start, and wake with each append', async (t: Test) => {
  const { clock, store, router } = world();
  router.setRoutes(
    [route('up', 'FROM /* INTO $upstream'), route('in', 'FROM /* INTO BrokeredEndpoint("/modules/a/inputs/b")')],
    defaults,
  );
  const arrived = new Map<string, number[]>();
  const endpoint = (queue: string) => ({
    isReady: true,
    ready: () => Promise.resolve(),
    send: (batch: readonly StoredMessage[]) => {
      arrived.set(queue, [...(arrived.get(queue) ?? []), ...batch.map(({ message }) => sequenceOf(message))]);
      return Promise.resolve(batch.length);
    },
  });
  await router.accept(numberedMessage(1));
  router.attach('$upstream', endpoint('$upstream'));
  await clock.advance(100);
  t.equal(arrived.size, 0, 'nothing moves before the start');
  router.start();
  await clock.advance(100);
  t.same([...arrived], [['$upstream', [1]]]);
  t.notOk(router.isAttached('a/inputs/b'));
  router.attach('a/inputs/b', endpoint('a/inputs/b'));
  await router.accept(numberedMessage(2));
  await clock.advance(100);
  t.same(
    [...arrived],
    [
      ['$upstream', [1, 2]],
      ['a/inputs/b', [1, 2]],
    ],
  );
  t.equal(store.waiting('$upstream') + store.waiting('a/inputs/b'), 0);
  await router.close();
  await router.close();
});
