// What the session store had, read back under a wall clock that is ten years off: nothing is over by it until
// somebody vouches for it, and then what is over is over.

import t, { type Test } from 'tap';
import { StoredViews } from '../../src/broker/stored-views.ts';
import { wallSettleAloneMs } from '../../src/limits.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { MqttJournal } from '../../src/store/mqtt-journal.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';

const hourMs = 3_600_000;
const year = 365 * 86_400_000;

for (const jumpMs of [10 * year, -10 * year]) {
  t.test(`a message that has an hour left survives a boot with a clock ${jumpMs / year} years off`, async (t: Test) => {
    const clock = new SimClock();
    const expiresWallMs = clock.wallMs() + hourMs;
    clock.reboot();
    clock.jumpWall(jumpMs);
    clock.trustWall(false);
    const views = new StoredViews(clock);
    t.ok(views.monotonicMs(expiresWallMs) - clock.monotonicMs() >= wallSettleAloneMs);
    clock.jumpWall(-jumpMs);
    clock.trustWall(true);
    t.equal(views.monotonicMs(expiresWallMs) - clock.monotonicMs(), hourMs);
    clock.jumpWall(2 * hourMs);
    t.equal(views.monotonicMs(expiresWallMs), 1, 'by a clock that is believed it is over');
  });
}

t.test('an expiry is written only by a clock that is believed', async (t: Test) => {
  const clock = new SimClock();
  const journal = new MqttJournal(
    { clock, log: keptLog(clock).log, metrics: createMetrics(), wake: () => undefined, page: () => Promise.reject() },
    { quotaBytes: 1_048_576 },
  );
  const written = (trusted: boolean): number => {
    clock.trustWall(trusted);
    const canonical = Buffer.from(`opaque to the store ${trusted}`);
    journal.putRetained('a', {
      qos: 1,
      topicBytes: 1,
      payloadBytes: 1,
      expiresAtMs: clock.monotonicMs() + hourMs,
      canonical: () => canonical,
    });
    const sealed = journal.seal({ force: true });
    t.ok(sealed !== undefined);
    if (sealed === undefined) return -1;
    const bytes = Buffer.from(sealed.bytes, 0, sealed.byteLength);
    journal.committed(sealed, 0);
    // u8 operation, two varints of the id, f64 expiry: mqtt-record.ts.
    const at = bytes.indexOf(canonical) - 4 - 8;
    return bytes.readDoubleLE(at);
  };
  t.equal(written(true), clock.wallMs() + hourMs);
  t.equal(written(false), 0);
});
