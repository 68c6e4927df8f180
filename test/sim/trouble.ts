// What befalls the device, drawn: each kind of trouble as one function that begins it, and sees to its end.

import { drawRoutes, type Plan, type Trouble } from './plan.ts';
import type { World } from './world.ts';

type Strike = (world: World, plan: Plan) => void;

const yearMs = 31_557_600_000;
const fileCalls = [
  'write',
  'syncData',
  'syncDirectory',
  'rename',
  'remove',
  'open',
  'truncate',
  'read',
  'list',
  'size',
];

const strikes: Readonly<Record<Exclude<Trouble, 'restart'>, Strike>> = {
  power: (world) => halt(world, 'power'),
  kill: (world) => halt(world, 'process'),
  thread(world) {
    world.trace('the store thread crashes');
    world.life?.crashThread();
    world.ledger.forgetsExpiries = true;
    world.disk.hasRefused = true;
  },
  'disk-error'(world) {
    const { disk, dice } = world;
    const calls = dice.chance(0.5) ? ['syncData'] : dice.chance(0.8) ? [dice.pick(fileCalls)] : undefined;
    const fault = {
      calls,
      code: dice.chance(0.8) ? 'EIO' : 'ENOSPC',
      skip: dice.skewed(60),
      count: 1 + dice.skewed(40),
    };
    disk.fail(fault);
    healLater(world);
    say(world, `the disk fails: ${JSON.stringify(fault)}`);
  },
  'disk-full'(world) {
    const { disk, dice } = world;
    disk.files.capacityBytes = disk.files.usedBytes + dice.skewed(300_000);
    say(world, `the disk is full at ${disk.files.capacityBytes} bytes`);
    healLater(world);
  },
  'disk-readonly'(world) {
    say(world, 'the disk is read-only');
    world.disk.files.readOnly = true;
    healLater(world);
  },
  'disk-stall'(world) {
    const { disk, time, dice } = world;
    const forMs = 100 + dice.skewed(30_000);
    disk.stalledUntilMs = time.nowMs + forMs;
    say(world, `the disk stalls for ${forMs} ms`);
  },
  'line-cut'(world) {
    say(world, 'the line is cut');
    world.hub.cut();
  },
  'line-down'(world) {
    const { hub, time, dice } = world;
    const forMs = 100 + dice.skewed(dice.chance(0.1) ? 3_600_000 : 60_000);
    say(world, `the hub is out of reach for ${forMs} ms`);
    hub.reachable = false;
    hub.cut();
    time.after(forMs, () => {
      hub.reachable = true;
    });
  },
  'line-flap'(world) {
    const { hub, time, dice } = world;
    const times = 2 + dice.below(20);
    say(world, `the line flaps each second, ${times} times`);
    for (let n = 0; n < times; n++) time.after(n * 1000 + dice.below(500), () => hub.cut());
  },
  'line-silent'(world) {
    const { hub, time, dice } = world;
    if (dice.chance(0.5)) {
      say(world, 'the line swallows everything on it');
      hub.freeze();
      return;
    }
    const forMs = 1000 + dice.skewed(300_000);
    say(world, `all lines swallow everything for ${forMs} ms`);
    hub.swallows = true;
    time.after(forMs, () => hub.speakAgain());
  },
  'hub-part'(world) {
    world.hub.takesMax = world.dice.skewed(100);
    say(world, `the hub takes ${world.hub.takesMax} more and hangs up`);
  },
  'hub-mute'(world) {
    world.hub.acksMax = world.dice.skewed(100);
    say(world, `the hub acknowledges ${world.hub.acksMax} more, takes what comes and hangs up`);
  },
  'hub-slow'(world) {
    const { hub, time, dice } = world;
    hub.ackDelayMs = dice.skewed(130_000);
    hub.messageMs = dice.skewed(200);
    hub.latencyMs = 1 + dice.skewed(2000);
    say(world, `the hub takes ${hub.ackDelayMs} ms, a message ${hub.messageMs} ms, the line ${hub.latencyMs} ms`);
    time.after(1000 + dice.skewed(120_000), () => {
      hub.ackDelayMs = 0;
      hub.messageMs = 0;
      hub.latencyMs = 10;
    });
  },
  'hub-refuse'(world) {
    const { hub, time, dice } = world;
    say(world, 'the hub refuses connections');
    hub.refusesConnections = true;
    hub.cut();
    time.after(1000 + dice.skewed(60_000), () => {
      hub.refusesConnections = false;
    });
  },
  clock: (world) => clock(world),
  'module-away'(world) {
    const { dice, modules, time } = world;
    const module = dice.pick(modules);
    say(world, `${module.queue} goes away`);
    module.detach();
    time.after(1 + dice.skewed(30_000), () => module.attach());
  },
  'module-fail'(world) {
    const { dice, modules } = world;
    const module = dice.pick(modules);
    module.fails = { after: dice.skewed(30), tells: dice.chance(0.5) };
    say(world, `${module.queue} fails after ${module.fails.after} more`);
  },
  routes(world, plan) {
    say(world, 'new routes');
    world.life?.setRoutes(drawRoutes(world.dice, plan.hasTtl));
  },
};

export function strike(kind: Exclude<Trouble, 'restart'>, world: World, plan: Plan): void {
  strikes[kind](world, plan);
}

function say(world: World, text: string): void {
  world.trace(`** ${text}`);
}

/** Now, or inside one of the next file operations. */
function halt(world: World, how: 'power' | 'process'): void {
  const { dice, disk } = world;
  if (dice.chance(0.3)) {
    world.halted(how);
    return;
  }
  const after = dice.skewed(80);
  say(world, `${how} will be gone at the ${after + 1}th file operation`);
  disk.armHalt(after, how);
}

function healLater(world: World): void {
  const { disk, time, dice } = world;
  time.after(100 + dice.skewed(60_000), () => disk.heal());
}

/** Wrong by years and disbelieved; at times wrong and believed; and at last right. */
function clock(world: World): void {
  const { device, dice } = world;
  const die = dice.fraction();
  if (die < 0.4) {
    device.trusted = false;
    device.wrongMs = Math.floor((dice.fraction() - 0.5) * 20 * yearMs);
  } else if (die < 0.5) {
    device.wrongMs = Math.floor((dice.fraction() - 0.5) * 20 * yearMs);
    device.lied ||= device.trusted;
  } else if (die < 0.6) device.trusted = false;
  else {
    device.wrongMs = 0;
    device.trusted = true;
  }
  say(world, `the clock is ${Math.round(device.wrongMs / 1000)} s wrong and ${device.trusted ? '' : 'not '}believed`);
}
