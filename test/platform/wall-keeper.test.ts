// When a wall clock is believed, and what a process takes for the time while it is not.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { wallJumpMsMax, wallSettleAloneMs, wallSettleMs } from '../../src/limits.ts';
import { systemDisk } from '../../src/platform/disk.ts';
import { WallKeeper } from '../../src/platform/wall-keeper.ts';
import { believesWall, type WallEvidence } from '../../src/platform/wall-trust.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';

const year = 365 * 86_400_000;
const now = Date.UTC(2026, 0, 1);
const built = Date.UTC(2025, 5, 1);

t.test('the judgement, case by case', async (t: Test) => {
  const sound: WallEvidence = {
    wallMs: now,
    knownMs: now - 1000,
    isRecent: true,
    synchronised: true,
    battery: false,
    steadyMs: 0,
  };
  const cases: readonly (readonly [string, Partial<WallEvidence>, boolean])[] = [
    ['synchronised and within reach', {}, true],
    ['set back by a second', { wallMs: now - 2000 }, true],
    ['from a battery', { synchronised: false, battery: true }, true],
    ['nobody vouches', { synchronised: undefined }, false],
    ['nobody vouches, for long', { synchronised: undefined, steadyMs: wallSettleAloneMs }, true],
    ['in 1970, from a battery', { wallMs: 0, synchronised: false, battery: true }, false],
    ['ten years ahead, synchronised', { wallMs: now + 10 * year }, false],
    ['ten years ahead, synchronised and steady', { wallMs: now + 10 * year, steadyMs: wallSettleMs }, true],
    [
      'ten years ahead, from a battery and steady',
      { wallMs: now + 10 * year, synchronised: false, battery: true, steadyMs: wallSettleMs },
      false,
    ],
    ['ten years behind, synchronised and steady', { wallMs: now - 10 * year, steadyMs: wallSettleMs }, true],
    ['switched off for a year', { wallMs: now + year }, true],
    ['years after the build, nothing else known', { wallMs: now + 5 * year, isRecent: false }, true],
  ];
  for (const [name, over, expected] of cases) t.equal(believesWall({ ...sound, ...over }), expected, name);
  t.ok(wallJumpMsMax > year);
});

function life(directory: string, machine: SimClock, witnesses: { synchronised?: boolean; battery?: boolean }) {
  const { log, lines } = keptLog(machine);
  const keeper = new WallKeeper(
    {
      machine,
      disk: systemDisk(),
      witnesses: { synchronised: () => witnesses.synchronised, battery: () => witnesses.battery === true },
    },
    { builtMs: built },
  );
  return { keeper, lines, start: () => keeper.start(join(directory, 'clock.stamp'), log) };
}

for (const jump of [10 * year, -10 * year]) {
  const years = jump / year;
  t.test(`a believed clock that jumps by ${years} years is not followed until it has settled`, async (t: Test) => {
    const machine = new SimClock(now);
    const witnesses = { synchronised: true };
    const { keeper, lines, start } = life(t.testdir(), machine, witnesses);
    await start();
    t.ok(keeper.trusted());
    machine.jumpWall(jump);
    t.equal(keeper.wallMs(), now, 'at once, without a timer');
    await machine.advance(60_000);
    t.equal(keeper.wallMs(), now + 60_000);
    t.ok(keeper.trusted(), 'held over');
    t.match(lines.join(), /was set/);
    machine.jumpWall(-jump);
    t.equal(keeper.wallMs(), now + 60_000, 'and back');
    machine.jumpWall(jump);
    keeper.wallMs();
    await machine.advance(wallSettleMs);
    t.equal(keeper.wallMs(), now + jump + 60_000 + wallSettleMs, 'synchronised and steady: it is right after all');
    await keeper.close();
  });

  t.test(`a boot with a clock ${years} years off starts from the last good time`, async (t: Test) => {
    const directory = t.testdir();
    const machine = new SimClock(now);
    const first = life(directory, machine, { synchronised: true });
    await first.start();
    await machine.advance(86_400_000);
    await first.keeper.close();
    const lastGood = machine.wallMs();
    machine.reboot(3_600_000);
    machine.jumpWall(jump);
    const witnesses = { synchronised: false };
    const second = life(directory, machine, witnesses);
    await second.start();
    t.notOk(second.keeper.trusted());
    t.equal(second.keeper.wallMs(), lastGood, 'neither before what has certainly passed, nor years ahead of it');
    t.match(second.lines.join(), /not believed yet/);
    const stamp = readFileSync(join(directory, 'clock.stamp'), 'utf8');
    t.equal(stamp, `weir-clock 1 ${lastGood}\n`, 'the last good time stays');
    witnesses.synchronised = true;
    machine.jumpWall(-jump);
    t.ok(second.keeper.trusted(), 'the network came');
    t.equal(second.keeper.wallMs(), machine.wallMs());
    await second.keeper.close();
  });
}

t.test('a board without a battery is never before its build, and goes on from there', async (t: Test) => {
  const machine = new SimClock(1000);
  const { keeper, start } = life(t.testdir(), machine, {});
  await start();
  t.notOk(keeper.trusted());
  t.equal(keeper.wallMs(), built);
  await machine.advance(5000);
  t.equal(keeper.wallMs(), built + 5000);
  await machine.advance(wallSettleAloneMs);
  t.ok(keeper.trusted(), 'a day without a step: nobody says otherwise');
  t.equal(keeper.wallMs(), machine.wallMs());
  await keeper.close();
});

t.test('a noted time of another format is passed over and told', async (t: Test) => {
  for (const text of ['weir-clock 2 whatever\n', '', 'x'.repeat(1000)]) {
    const machine = new SimClock(now);
    const { keeper, lines, start } = life(t.testdir({ 'clock.stamp': text }), machine, { synchronised: true });
    await start();
    t.ok(keeper.trusted());
    t.match(lines.join(), /passed over/);
    await keeper.close();
  }
});

t.test('a time server that slews the clock is followed', async (t: Test) => {
  const machine = new SimClock(now);
  const { keeper, start, lines } = life(t.testdir(), machine, { synchronised: true });
  await start();
  for (let second = 0; second < 100; second++) {
    machine.jumpWall(-1);
    await machine.advance(1000);
    t.equal(keeper.wallMs(), machine.wallMs());
  }
  t.notMatch(lines.join(), /was set/);
  await keeper.close();
});
