// A disk without room: what has left is written down nevertheless, and gives its room back; nothing new is taken before.

import t, { type Test } from 'tap';
import type { Lane } from '../../../src/model/lane.ts';
import { Outbox, OutboxFault } from '../../../src/store/outbox/index.ts';
import { seededEntropy } from '../../support/sim-entropy.ts';
import { SimFiles } from '../../support/sim-files.ts';

const directory = '/data/outbox';
const segmentBytes = 1_048_576;
const lane: Lane = { queue: '$upstream', priority: 1, live: false };
const stamp = { wallMs: 1.7e12, monotonicMs: 5000, bootId: 'one', trusted: true };

class Device {
  readonly entropy = seededEntropy(6);
  readonly files = new SimFiles(this.entropy);
  outbox = this.make();

  make(): Outbox {
    const outbox = new Outbox(
      { files: this.files, entropy: this.entropy },
      { directory, quarantine: '/data/q', segmentBytes },
    );
    outbox.open(stamp);
    return outbox;
  }

  append(count = 1): 'stored' | 'full' {
    const record = Buffer.alloc(300, 'x');
    for (let index = 0; index < count; index++)
      this.outbox.append({ targets: [{ lane, timeToLiveMs: undefined }], record, hop: undefined });
    return this.commit();
  }

  commit(): 'stored' | 'full' {
    try {
      this.outbox.commit(stamp);
      return 'stored';
    } catch (error) {
      if (error instanceof OutboxFault && error.kind === 'full') return 'full';
      throw error;
    }
  }

  /** Tries until ten messages are taken. */
  taking(): number {
    for (let tries = 1; tries < 100; tries++) if (this.append(10) === 'stored') return tries;
    return Number.POSITIVE_INFINITY;
  }

  /** Takes messages until the disk has refused twice: the first time gives files back. */
  takes(): number {
    let taken = 0;
    while (this.append(10) === 'stored' || this.append(10) === 'stored') taken += 10;
    return taken;
  }

  get messages(): number {
    return this.outbox.lanes(stamp)[0]?.messages ?? 0;
  }

  /** Takes messages until the disk refuses. */
  fill(bytes: number): number {
    this.append();
    this.files.capacityBytes = this.files.usedBytes + bytes;
    let count = 1;
    while (this.append(10) === 'stored') count += 10;
    while (this.append() === 'stored') count++;
    return count;
  }
}

for (const bytes of [200_000, 3_000_000]) {
  t.test(`a backlog that filled the disk with ${bytes} bytes leaves, one commit a message`, async (t: Test) => {
    const device = new Device();
    const count = device.fill(bytes);
    t.equal(device.messages, count);
    t.equal(device.append(), 'full');
    for (let offset = 1; offset <= count; offset++) {
      device.outbox.confirm(lane, offset);
      if (device.commit() === 'full') {
        t.fail(`the confirmation of message ${offset} of ${count} is refused`);
        return;
      }
    }
    t.equal(device.messages, 0);
    t.equal(device.append(10), 'stored', 'and there is room again');
    device.files.powerCut();
    device.outbox = device.make();
    t.equal(device.messages, 10);
  });
}

t.test('confirmations count that come in one commit with messages for which there is no room', async (t: Test) => {
  const device = new Device();
  const count = device.fill(200_000);
  device.outbox.confirm(lane, count - 1);
  t.equal(device.append(), 'full');
  t.equal(device.messages, 1);
  device.files.powerCut();
  device.outbox = device.make();
  t.equal(device.messages, 1, 'and are on storage');
  t.equal(device.outbox.read({ lane, afterOffset: 0, messagesMax: 9, bytesMax: 1e5, stamp }).rows[0]?.offset, count);
  device.outbox.confirm(lane, count);
  device.append();
  t.equal(device.append(50), 'stored');
});

t.test(
  'a file in which nothing waits any more gives its room back, however few commits emptied it',
  async (t: Test) => {
    for (const bytes of [200_000, 900_000]) {
      const device = new Device();
      const count = device.fill(bytes);
      device.outbox.confirm(lane, count);
      t.equal(device.commit(), 'stored');
      t.ok(device.taking() <= 2, 'a try or two');
      for (let round = 0; round < 20; round++) {
        const taken = device.takes();
        t.ok(taken > count / 2, `round ${round} takes ${taken} where there was room for ${count}`);
        device.outbox.confirm(lane, 1e6);
        device.commit();
        if (round % 3 === 0) {
          device.files.powerCut();
          device.outbox = device.make();
        }
        t.equal(device.messages, 0);
        t.ok(device.taking() <= 2);
      }
    }
  },
);

t.test('a few messages that nobody takes do not keep the room of all the others', async (t: Test) => {
  const device = new Device();
  for (const queue of ['slow', 'slower'])
    for (let index = 0; index < 20; index++)
      device.outbox.append({
        targets: [{ lane: { queue, priority: 1, live: false }, timeToLiveMs: undefined }],
        record: Buffer.alloc(200, queue),
        hop: undefined,
      });
  const count = device.fill(900_000);
  t.equal(device.append(), 'full');
  for (let round = 0; round < 10; round++) {
    device.outbox.confirm(lane, 1e6);
    t.equal(device.commit(), 'stored');
    t.ok(device.taking() <= 2, 'a try or two');
    const taken = device.takes();
    t.ok(taken > count / 2, `round ${round} takes ${taken} where there was room for ${count}`);
  }
  device.files.powerCut();
  device.outbox = device.make();
  for (const queue of ['slow', 'slower']) {
    const slow = { queue, priority: 1, live: false };
    const { rows } = device.outbox.read({ lane: slow, afterOffset: 0, messagesMax: 99, bytesMax: 1e5, stamp });
    t.same(
      rows.map(({ offset, record }) => [offset, Buffer.from(record).equals(Buffer.alloc(200, queue))]),
      Array.from({ length: 20 }, (_, index) => [index + 1, true]),
    );
  }
});

t.test('a process that starts on a full disk drains as well', async (t: Test) => {
  const device = new Device();
  const count = device.fill(500_000);
  for (let offset = 1; offset <= count; offset++) {
    device.outbox.confirm(lane, offset);
    if (offset % 400 === 0) {
      device.files.kill();
      device.outbox = device.make();
      device.append();
      device.outbox.confirm(lane, offset);
    }
    if (device.commit() === 'full') {
      t.fail(`the confirmation of message ${offset} of ${count} is refused`);
      return;
    }
  }
  device.outbox.confirm(lane, count + 1000);
  device.commit();
  t.equal(device.messages, 0);
  t.equal(device.append(100), 'stored');
});

t.test('what a read found expired is counted although the commit failed that was to count it', async (t: Test) => {
  const device = new Device();
  for (let index = 0; index < 6; index++) {
    const timeToLiveMs = index === 1 || index === 2 || index === 4 ? 1000 : undefined;
    device.outbox.append({ targets: [{ lane, timeToLiveMs }], record: Buffer.from(`${index}`), hop: undefined });
  }
  device.commit();
  const later = { ...stamp, wallMs: stamp.wallMs + 2000, monotonicMs: stamp.monotonicMs + 2000 };
  t.equal(device.outbox.read({ lane, afterOffset: 0, messagesMax: 9, bytesMax: 1e5, stamp: later }).rows.length, 3);
  device.files.fault = (operation) => (operation === 'outbox:write' ? 'EIO' : undefined);
  t.throws(() => device.outbox.commit(later), OutboxFault);
  device.outbox.discard();
  device.files.fault = undefined;
  device.outbox.confirm(lane, 6);
  device.outbox.commit(later);
  t.same(device.outbox.lanes(later)[0]?.dropped, { ttl_expiry: 3 });
  t.same(device.outbox.takeDrops(), [{ lane, reason: 'ttl_expiry', messages: 3 }]);
  device.files.powerCut();
  device.outbox = device.make();
  t.same(device.outbox.lanes(later)[0]?.dropped, { ttl_expiry: 3 });
  t.equal(device.messages, 0);
});
