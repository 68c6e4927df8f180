// One run of the data path, from its seed: set up, trouble, healing, and the balance at the end.
//
// After every step: no violation in the ledger, no bug, and no more on the disk than the quota and its slack. When
// the troubles are over everything must leave within a named time, every promise settle, and no timer stay.

import type { Databases } from './databases.ts';
import { Dice } from './dice.ts';
import { Violation } from './ledger.ts';
import { Life } from './life.ts';
import { drawPlan, type Family, inputs, type Plan } from './plan.ts';
import { SimSender } from './sender.ts';
import { strike } from './trouble.ts';
import { type RunReader, World } from './world.ts';

export interface Outcome {
  readonly family: Family;
  readonly simulatedMs: number;
  readonly acknowledged: number;
  readonly arrived: number;
  readonly repeated: number;
  /** That came to the hub, and of them refused. */
  readonly frames: number;
  readonly framesRefused: number;
  readonly lives: number;
  readonly judged: number;
  readonly fileOperations: number;
}

/** When all is well, how long until all that waits has left. */
const healingMsMax = 1_800_000;
const closeMsMax = 60_000;
const startMsMax = 600_000;
const hourMs = 3_600_000;
const monthMs = 720 * hourMs;

/** Plays one seed. Throws the violation, if there is one. */
export async function simulate(seed: number, databases: Databases, reader: RunReader = {}): Promise<Outcome> {
  const dice = new Dice(seed);
  const plan = drawPlan(seed, dice);
  const world = new World(seed, { dice, queues: inputs, databases, reader });
  const run = new Run(world, plan);
  try {
    world.trace(`seed ${seed}: ${plan.family}, ${plan.troubles.join(' ')}`);
    return await run.play();
  } finally {
    world.life?.die();
    world.hub.close(world.deviceId);
  }
}

class Run {
  readonly #world: World;
  readonly #plan: Plan;
  readonly #senders: SimSender[];
  #ids = 0;
  #lives = 0;
  #judged = 0;

  constructor(world: World, plan: Plan) {
    this.#world = world;
    this.#plan = plan;
    world.disk.tellsSpace = plan.tellsSpace;
    world.hub.takesFrames = plan.frames !== undefined;
    world.hub.refusesFrames = plan.frames?.refusesEach;
    const { time, device, dice, ledger } = world;
    const ports = {
      time,
      device,
      dice,
      ledger,
      nextId: () => ++this.#ids,
      accept: () => {
        const { life } = world;
        return life?.isUp === true ? life.accept.bind(life) : undefined;
      },
    };
    this.#senders = plan.senders.map((options) => new SimSender(ports, { ...options, deviceId: world.deviceId }));
  }

  async play(): Promise<Outcome> {
    if (this.#plan.family === 'month') await this.#month();
    else await this.#steps();
    await this.#heal();
    await this.#restart();
    const { life, time, ledger, disk, hub } = this.#world;
    if (life === undefined) throw new Violation('a sound device does not start');
    await this.#close(life);
    return {
      family: this.#plan.family,
      simulatedMs: time.nowMs,
      acknowledged: ledger.acknowledged,
      arrived: ledger.arrived,
      repeated: ledger.repeated,
      frames: hub.frames,
      framesRefused: hub.framesRefused,
      lives: this.#lives,
      judged: this.#judged,
      fileOperations: disk.operations,
    };
  }

  async #steps(): Promise<void> {
    const { dice, time } = this.#world;
    const { steps, stepMsMax, troublePart, troubles, burstMax } = this.#plan;
    for (let step = 0; step < steps; step++) {
      await this.#beUp();
      if (dice.chance(0.6)) dice.pick(this.#senders).send(1 + dice.below(burstMax));
      if (troubles.length > 0 && dice.chance(troublePart)) {
        const kind = dice.pick(troubles);
        if (kind === 'restart') await this.#restart();
        else strike(kind, this.#world, this.#plan);
      }
      await time.advance(dice.chance(0.2) ? 0 : dice.skewed(stepMsMax), this.#stopped());
      this.#check();
    }
  }

  /** Thirty days without the hub, with a message now and then, and a restart or a power cut each week or so. */
  async #month(): Promise<void> {
    const { dice, hub, time } = this.#world;
    hub.reachable = false;
    while (time.nowMs < monthMs) {
      await this.#beUp();
      for (const sender of this.#senders) sender.send(dice.below(4));
      const die = dice.fraction();
      if (die < 0.01) await this.#restart();
      else if (die < 0.02) strike('power', this.#world, this.#plan);
      else if (die < 0.03) strike('clock', this.#world, this.#plan);
      await time.advance(hourMs, this.#stopped());
      this.#check();
    }
  }

  /** A device that is down comes up again, perhaps after a while; one that cannot, later. */
  async #beUp(): Promise<void> {
    const world = this.#world;
    if (world.life !== undefined) return;
    const { dice, time, device } = world;
    if (world.ended === 'power') {
      await time.advance(dice.skewed(dice.chance(0.1) ? 10 * hourMs : 5000));
      device.boot();
      if (this.#plan.troubles.includes('clock') && dice.chance(0.3)) strike('clock', world, this.#plan);
    } else await time.advance(dice.skewed(2000));
    world.ended = undefined;
    world.disk.hasRefused = false;
    this.#lives++;
    const life = new Life(world, this.#plan.life);
    world.life = life;
    const starting = life.start();
    const ended = await world.until(starting, startMsMax);
    if (ended === 'overdue') throw new Violation(`the device has not started in ${startMsMax} ms`);
    if (ended === 'ended') return;
    try {
      await starting;
    } catch (error) {
      world.trace(`did not start: ${String(error)}`);
      this.#world.check();
      if (!world.disk.hasRefused) throw error;
      life.die();
      world.life = undefined;
      return;
    }
    for (const sender of this.#senders) sender.reconnect();
  }

  async #restart(): Promise<void> {
    const { life } = this.#world;
    if (life !== undefined) await this.#close(life);
    await this.#beUp();
  }

  async #close(life: Life): Promise<void> {
    const world = this.#world;
    world.trace('closing');
    const ended = await world.until(life.close(), closeMsMax);
    this.#judged += life.watch.judged;
    if (ended === 'overdue') throw new Violation(`close() has not come to an end in ${closeMsMax} ms`);
    if (ended === 'ended') return;
    if (life.unsettled > 0) throw new Violation(`${life.unsettled} messages were neither taken nor refused`);
    if (life.clock.timerCount > 0) throw new Violation(`${life.clock.timerCount} timers are left`);
    if (world.disk.files.openFiles > 0) throw new Violation(`${world.disk.files.openFiles} files are left open`);
    life.die();
    world.life = undefined;
    world.trace('closed');
  }

  /** Everything is well again: everything leaves. */
  async #heal(): Promise<void> {
    const world = this.#world;
    const { time, disk, hub, device, modules } = world;
    world.trace('all is well again');
    const endMs = time.nowMs + healingMsMax;
    for (let waits = ''; ; ) {
      if (time.nowMs > endMs) throw new Violation(`after ${healingMsMax} ms without trouble ${waits}`);
      disk.heal();
      hub.heal();
      device.wrongMs = 0;
      device.trusted = true;
      for (const module of modules) {
        module.fails = undefined;
        if (!module.attached) module.attach();
      }
      await this.#beUp();
      await time.advance(10_000, this.#stopped());
      this.#check();
      const { life } = world;
      if (life === undefined) continue;
      const asking = life.store.lanes().catch(() => undefined);
      if ((await world.until(asking, closeMsMax)) === 'settled') {
        const facts = await asking;
        if (facts === undefined) continue;
        const waiting = facts.filter(({ messages }) => messages > 0);
        const unsent = this.#senders.filter((sender) => sender.waiting > 0 || sender.underWay > 0);
        if (waiting.length === 0 && unsent.length === 0) return;
        const queues = waiting.map(
          ({ queue, priority, messages }) => `${messages} of priority ${priority} wait for ${queue}`,
        );
        const refused = unsent.map(({ name, waiting: left }) => `${left} of ${name} are not acknowledged`);
        waits = [...queues, ...refused].join(', ');
      }
    }
  }

  #stopped(): () => boolean {
    const { life } = this.#world;
    return () => this.#world.life !== life || this.#world.failure !== undefined;
  }

  #check(): void {
    const world = this.#world;
    world.check();
    const { quotaBytes, segmentBytes } = this.#plan.life;
    const used = world.disk.files.usedBytes;
    const boundBytes = diskBytesMax(quotaBytes, segmentBytes);
    if (used > boundBytes) throw new Violation(`${used} bytes on disk, ${boundBytes} at most`);
  }
}

const sparesMax = 16;
const stepBytes = 262_144;

/** Twice the quota, because a segment is rewritten only when half of it is dead; spares, the active one, one being rewritten. */
function diskBytesMax(quotaBytes: number, segmentBytes: number): number {
  return 2 * quotaBytes + (sparesMax + 4) * Math.max(segmentBytes, stepBytes) + 2 * 1024 * 1024;
}
