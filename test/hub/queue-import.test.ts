// Queue files at the hub: the log is what it would be had the link carried them, in whatever order both come.

import { strict as assert } from 'node:assert';
import t from 'tap';
import { DeviceKey } from '../../src/identity/index.ts';
import { errorCode } from '../../src/model/errors.ts';
import type { Message } from '../../src/model/message.ts';
import { parseReceipt } from '../../src/protocol/queue-file/index.ts';
import { appendAll, hubState, sample } from '../support/hub-state.ts';
import { queueFile } from '../support/queue-file.ts';

function stage(directory: string) {
  const hub = hubState(directory);
  t.teardown(() => hub.database.close());
  const { keys } = hub.registry.createDevice('gw', { edge: true });
  const logged = (): readonly string[] =>
    hub.eventLog.read({ afterOffset: 0 }).events.map(({ body }) => body.toString());
  const refused = (file: Buffer, name = 'f.weirq'): { readonly code: string; readonly message: string } => {
    const before = logged();
    try {
      hub.imports.take(name, file);
    } catch (error) {
      assert.deepEqual(logged(), before, 'a file that is refused changes nothing');
      return { code: errorCode(error), message: (error as Error).message };
    }
    return { code: 'taken', message: '' };
  };
  return { ...hub, key: keys.primaryKey, keys, logged, refused };
}

const range = (from: number, to: number): Message[] =>
  Array.from({ length: to - from + 1 }, (_, n) => sample(`${from + n}`));
const texts = (from: number, to: number): string[] => range(from, to).map(({ body }) => Buffer.from(body).toString());
const online = (from: number, to: number): Message[] =>
  range(from, to).map((message, n) => ({ ...message, hop: { stream: 'e1.1', sequence: from + n } }));

t.test(
  'a file is logged as the link would have logged it, and answered with a receipt of the device’s key',
  async (t) => {
    const hub = stage(t.testdir());
    const [first, second] = range(1, 2) as [Message, Message];
    const stamped = { ...second, system: { ...second.system, creationTime: '2020-01-01T00:00:00.000Z' } };
    const taken = hub.imports.take('gw.weirq', queueFile(hub.key, [first, stamped]));
    t.match(taken, { device: 'gw', queue: '$upstream', after: 0, last: 2, messages: 2, logged: 2, repeated: 0 });
    t.match(hub.eventLog.read({ afterOffset: 0 }).events, [
      {
        sender: { deviceId: 'gw', moduleId: 'm' },
        output: 'out',
        enqueuedMs: hub.clock.wallMs(),
        system: { contentType: 'application/json', creationTime: new Date(first.enqueuedMs).toISOString() },
        properties: { kind: 'test' },
      },
      { system: { creationTime: '2020-01-01T00:00:00.000Z' } },
    ]);
    const receipt = parseReceipt(taken.receipt);
    assert(receipt.ok);
    t.match(receipt.facts, { deviceId: 'gw', stream: 'e1.1', after: 0, last: 2, messages: 2, repeated: 0 });
    t.ok(new DeviceKey(hub.key).verifyReceipt(receipt.signature, receipt.signed, receipt.salt));
  },
);

t.test('taken twice, the log is the same, and the second receipt says so', async (t) => {
  const hub = stage(t.testdir());
  const file = queueFile(hub.key, range(1, 5));
  hub.imports.take('f', file);
  t.match(hub.imports.take('f', file), { messages: 5, logged: 0, repeated: 5 });
  t.same(hub.logged(), texts(1, 5));
  t.equal(hub.eventLog.facts().repeated, 5);
});

t.test('link and file may bring the same messages, in either order', async (t) => {
  const hub = stage(t.testdir());
  appendAll(hub, online(1, 3));
  t.match(hub.imports.take('f', queueFile(hub.key, range(1, 6))), { logged: 3, repeated: 3 });
  t.equal(appendAll(hub, online(4, 8)), 2);
  t.same(hub.logged(), texts(1, 8));
});

t.test('a file that follows a missing one waits for it, and nothing of either is lost', async (t) => {
  const hub = stage(t.testdir());
  const [one, two, three] = [
    queueFile(hub.key, range(1, 4)),
    queueFile(hub.key, range(5, 8), { after: 4 }),
    queueFile(hub.key, range(9, 12), { after: 8 }),
  ];
  t.match(hub.refused(two), { code: 'HUB_IMPORT_GAP', message: /follows message 4.* up to 0 are here/ });
  hub.imports.take('1', one);
  t.equal(hub.refused(three).code, 'HUB_IMPORT_GAP');
  t.equal(appendAll(hub, online(5, 8)), 4, 'what the missing file holds may come by the link');
  hub.imports.take('3', three);
  t.match(hub.imports.take('2', two), { logged: 0, repeated: 4 });
  t.same(hub.logged(), texts(1, 12));
});

t.test('messages that left the queue before are no gap', async (t) => {
  const hub = stage(t.testdir());
  hub.imports.take('f', queueFile(hub.key, range(5, 8), { after: 4, gone: 4 }));
  t.same(hub.logged(), texts(5, 8));
});

t.test('either key of the device opens its files; another does not', async (t) => {
  const hub = stage(t.testdir());
  hub.imports.take('f', queueFile(hub.keys.secondaryKey, range(1, 2)));
  const foreign = queueFile(Buffer.alloc(32, 9).toString('base64'), range(3, 4), { after: 2 });
  t.match(hub.refused(foreign, 'x.weirq'), { code: 'HUB_IMPORT_WRONG_KEY', message: /^x\.weirq is not taken/ });
});

t.test('each other fault has its code, names the file and the mend', async (t) => {
  const hub = stage(t.testdir());
  const file = queueFile(hub.key, range(1, 3));
  const flipped = Buffer.from(file);
  flipped[file.length - 20] = (flipped[file.length - 20] as number) ^ 1;
  const newer = Buffer.from(file);
  newer.writeUInt16LE(9, 8);
  const stranger = { deviceId: 'gw-9' };
  const cases: readonly (readonly [string, Buffer, RegExp])[] = [
    ['HUB_IMPORT_TORN', file.subarray(0, -1), /1 of its \d+ bytes are missing.*export/],
    ['HUB_IMPORT_TORN', Buffer.alloc(0), /first bytes/],
    ['HUB_IMPORT_DAMAGED', flipped, /its seal is broken/],
    ['HUB_IMPORT_FOREIGN', Buffer.from('hello, world'), /does not begin as one/],
    ['HUB_IMPORT_NEWER', newer, /version 9.*Update this hub/],
    ['HUB_IMPORT_DEVICE_UNKNOWN', queueFile(hub.key, range(1, 3), stranger), /no device gw-9/],
  ];
  for (const [code, bytes, message] of cases) {
    const told = hub.refused(bytes, 'stick/f.weirq');
    t.match(told, { code, message });
    t.match(told.message, /^stick\/f\.weirq is not taken/);
  }
  hub.registry.update({ deviceId: 'gw' }, { enabled: false });
  t.match(hub.refused(file), { code: 'HUB_IMPORT_DEVICE_DISABLED' });
});

t.test('messages of devices behind the gateway are theirs; of others they are the gateway’s own', async (t) => {
  const hub = stage(t.testdir());
  hub.registry.createDevice('leaf', { parent: 'gw' });
  const messages = range(1, 3).map((message, index) => ({
    ...message,
    sender: { deviceId: ['leaf', 'left', 'gw'][index] ?? '' },
  }));
  hub.imports.take('f.weirq', queueFile(hub.key, messages));
  const { events } = hub.eventLog.read({ afterOffset: 0 });
  t.same(
    events.map(({ sender, properties }) => [sender, properties['weir-sender']]),
    [
      [{ deviceId: 'leaf' }, undefined],
      [{ deviceId: 'gw', moduleId: '$edgeHub' }, 'left'],
      [{ deviceId: 'gw' }, undefined],
    ],
  );
  const again = hub.imports.take('f.weirq', queueFile(hub.key, messages));
  t.equal(again.repeated, messages.length, 'the stream is the gateway’s, whosever messages it carries');
});

t.test('a log that cannot be written takes nothing, and says so', async (t) => {
  const hub = stage(t.testdir());
  const file = queueFile(hub.key, range(1, 3));
  const append = hub.eventLog.append.bind(hub.eventLog);
  hub.eventLog.append = () => {
    throw new TypeError('disk full');
  };
  t.match(hub.refused(file), { code: 'HUB_LOG_WRITE_FAILED' });
  hub.eventLog.append = append;
  t.match(hub.imports.take('f', file), { logged: 3 }, 'and all of it later');
});
