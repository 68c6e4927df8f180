import t, { type Test } from 'tap';
import {
  drainBatchBytesMax,
  drainBatchMessagesMax,
  drainQueueingMsMax,
  drainReadMessagesMax,
  drainSerialBatchMessagesMax,
  drainWindowBytesMin,
} from '../../src/limits.ts';
import { SendWindow, type Share } from '../../src/router/send-window.ts';

const bounds = { messages: 960, bytes: 1_048_576 };
const messageBytes = 500;
/** Goes on from link to link. */
let clockMs = 0;

/**
 * Keeps the window full over a link of so many bytes a second and this round trip for so many batches. Answers the
 * bytes that were under way at most in the second half, and the bytes a second that went through.
 */
function overLink(window: SendWindow, link: { bytesPerSecond: number; roundTripMs: number }, batches: number) {
  const underWay: { share: Share; atMs: number }[] = [];
  const startMs = clockMs;
  let nowMs = startMs;
  let freeMs = nowMs;
  let underWayMax = 0;
  let bytes = 0;
  for (let sent = 0; sent < batches; ) {
    const room = window.room();
    if (room !== undefined) {
      const count = Math.max(1, Math.min(100, room.messages, Math.floor(room.bytes / messageBytes)));
      const share = window.take(count, count * messageBytes, nowMs);
      freeMs = Math.max(freeMs, nowMs) + (share.bytes / link.bytesPerSecond) * 1000;
      underWay.push({ share, atMs: freeMs + link.roundTripMs });
      bytes += share.bytes;
      sent++;
      const total = underWay.reduce((sum, { share: { bytes: each } }) => sum + each, 0);
      if (sent > batches / 2) underWayMax = Math.max(underWayMax, total);
    } else {
      const next = underWay.shift() as (typeof underWay)[number];
      nowMs = next.atMs;
      window.give(next.share, { acknowledged: true, nowMs });
    }
  }
  for (const { share, atMs } of underWay) {
    nowMs = atMs;
    window.give(share, { acknowledged: true, nowMs });
  }
  clockMs = nowMs;
  return { underWayMax, bytesPerSecond: (bytes * 1000) / (nowMs - startMs) };
}

t.test('without a window one batch is under way at a time', async (t: Test) => {
  const window = new SendWindow(undefined);
  t.same(window.room(), { messages: drainSerialBatchMessagesMax, bytes: drainBatchBytesMax });
  const share = window.take(3, 300, 0);
  t.equal(window.room(), undefined);
  window.give(share, { acknowledged: true, nowMs: 60_000 });
  t.same(window.room(), { messages: drainSerialBatchMessagesMax, bytes: drainBatchBytesMax });
});

t.test('the window is bounded in messages and bytes, and one message always goes', async (t: Test) => {
  const window = new SendWindow({ messages: 10, bytes: 1000 });
  t.same(window.room(), { messages: 10, bytes: 250 }, 'a quarter at a time');
  const many = window.take(8, 80, 0);
  t.same(window.room(), { messages: 2, bytes: 250 });
  window.take(2, 2, 0);
  t.equal(window.room(), undefined);
  window.give(many, { acknowledged: true, nowMs: 1 });
  t.equal(window.messages, 2);
  const large = new SendWindow({ messages: 10, bytes: 1000 });
  const huge = large.take(1, 1_000_000, 0);
  t.equal(large.room(), undefined);
  large.give(huge, { acknowledged: false, nowMs: 0 });
  t.ok(large.room());
});

t.test('a fast link far away is filled', async (t: Test) => {
  const { bytesPerSecond } = overLink(new SendWindow(bounds), { bytesPerSecond: 10_000_000, roundTripMs: 40 }, 4000);
  t.ok(bytesPerSecond > 8_000_000, `${Math.round(bytesPerSecond)} bytes a second`);
  const satellite = overLink(new SendWindow(bounds), { bytesPerSecond: 1_000_000, roundTripMs: 700 }, 4000);
  t.ok(satellite.bytesPerSecond > 450_000, `${Math.round(satellite.bytesPerSecond)} over a satellite`);
});

t.test('on a slow link little is under way, and still it is busy', async (t: Test) => {
  for (const bytesPerSecond of [1000, 10_000, 50_000]) {
    const result = overLink(new SendWindow(bounds), { bytesPerSecond, roundTripMs: 100 }, 2000);
    const queueMs = (result.underWayMax * 1000) / bytesPerSecond;
    const floorMs = (drainWindowBytesMin * 1000) / bytesPerSecond;
    const bound = floorMs + drainQueueingMsMax * 2;
    t.ok(queueMs <= bound, `${bytesPerSecond} bytes a second: a command waits ${Math.round(queueMs)} of ${bound} ms`);
    t.ok(result.bytesPerSecond > bytesPerSecond * 0.8, 'the link is used');
  }
});

t.test('a link that has become longer is filled again', async (t: Test) => {
  const window = new SendWindow(bounds);
  overLink(window, { bytesPerSecond: 1_000_000, roundTripMs: 20 }, 2000);
  const after = overLink(window, { bytesPerSecond: 1_000_000, roundTripMs: 700 }, 8000);
  t.ok(after.bytesPerSecond > 400_000, `${Math.round(after.bytesPerSecond)} bytes a second`);
});

t.test('what is worth reading at once grows with the window', async (t: Test) => {
  t.equal(new SendWindow(undefined).readMessages, drainBatchMessagesMax);
  const window = new SendWindow(bounds);
  t.equal(window.readMessages, drainBatchMessagesMax);
  overLink(window, { bytesPerSecond: 10_000_000, roundTripMs: 100 }, 200);
  t.equal(window.readMessages, drainReadMessagesMax);
  t.ok(drainReadMessagesMax <= bounds.messages, 'and is never more than goes at once');
});

t.test('after a failure it begins as at first', async (t: Test) => {
  const window = new SendWindow(bounds);
  const fresh = window.room();
  overLink(window, { bytesPerSecond: 10_000_000, roundTripMs: 5 }, 500);
  t.ok((window.room()?.bytes ?? 0) > (fresh?.bytes ?? 0));
  window.give(window.take(100, 50_000, 0), { acknowledged: false, nowMs: 10 });
  t.same(window.room(), fresh);
});
