// The demo's story, chapter by chapter: from nothing to a proof.
//
//   plant ─► [ gateway: weir run ] ─► a line that can be cut ─► [ hub: weir hub start ]
//
// Everything is the real executable, driven by its own commands. The plant lives in this process. After an abort
// the story stops at its next step; close() ends what it started, modules and their shims included.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as timer } from 'node:timers/promises';
import { systemClock } from '../../src/platform/clock.ts';
import { type Plant, startPlant } from '../support/plant/index.ts';
import { until } from '../support/world/program.ts';
import { readyMs, World, weirBinary } from '../support/world/world.ts';
import { demoManifest, modbusModule, rtuDevice, sensorModule, tcpDevice, units } from './manifest.ts';
import { type Expected, type Proof, prove } from './proof.ts';
import { indent, type Screen } from './screen.ts';
import { Follower, type TagRow, Telemetry } from './telemetry.ts';

const liveMs = 14_000;
const panelEveryMs = 250;
const cutSeconds = 10;
const deadMs = 6000;
const offlineSeconds = 5;
const barMessages = 8;
const barMax = 40;
const chapters = 8;
const modules = [modbusModule, sensorModule] as const;

export type Status = Awaited<ReturnType<World['status']>>;

export class Story {
  readonly world = new World({ name: 'demo' });
  readonly #screen: Screen;
  readonly #signal: AbortSignal;
  readonly #telemetry = new Telemetry();
  #follower: Follower | undefined;
  #plant: Plant | undefined;
  #cutMs = 0;
  #deadMs = 0;
  #backMs = 0;
  #mendMs = 0;

  constructor(screen: Screen, signal: AbortSignal) {
    this.#screen = screen;
    this.#signal = signal;
  }

  async tell(): Promise<Proof> {
    this.#screen.begin(chapters);
    await this.#buildPlant();
    await this.#startHub();
    await this.#startGateway();
    await this.#showTelemetry();
    await this.#cutLine();
    await this.#killGateway();
    await this.#restore();
    return await this.#prove();
  }

  async close(): Promise<void> {
    await this.#follower?.close();
    await this.world.close();
    await this.#plant?.close();
  }

  /** Ends what only the story needed; the plant, the hub and the gateway go on. */
  async leaveRunning(): Promise<void> {
    await this.#follower?.close();
    this.#follower = undefined;
  }

  async #buildPlant(): Promise<void> {
    this.#signal.throwIfAborted();
    const screen = this.#screen;
    screen.chapter('A small plant starts: without machines a gateway has nothing to show.');
    const plant = await startPlant({ clock: systemClock(), tcpPort: 0, ptyDir: this.world.directory });
    this.#plant = plant;
    screen.say(`${tcpDevice}   Modbus TCP slave on 127.0.0.1:${plant.tcp.port}`);
    screen.say(`${rtuDevice}  Modbus RTU slave on the serial port ${plant.rtu?.path ?? ''}`);
    screen.say('Each has a motor, a temperature, and a counter of how often it was read.', 'dim');
  }

  async #startHub(): Promise<void> {
    this.#signal.throwIfAborted();
    const { world } = this;
    const screen = this.#screen;
    screen.chapter('The hub starts and learns of one gateway, so that it lets in nobody else.');
    screen.command('weir hub start');
    await world.startHub();
    screen.command(`weir hub device create ${world.deviceId} --edge`);
    await world.provision();
    // So that --config is all that a visitor has to type.
    const gw = join(world.directory, 'gw');
    const path = join(gw, 'config.toml');
    const places = `data_dir = "${join(gw, 'data')}"\nrun_dir = "${join(gw, 'run')}"\n`;
    writeFileSync(path, places + readFileSync(path, 'utf8'), { mode: 0o600 });
    screen.say(`The hub serves MQTT over TLS; the gateway's config.toml holds its key.`, 'dim');
  }

  async #startGateway(): Promise<void> {
    this.#signal.throwIfAborted();
    const { world } = this;
    const screen = this.#screen;
    screen.chapter(
      'The gateway starts and is given a manifest, which tells it what to run and what to read: nobody has to log in to it.',
    );
    screen.command('weir run');
    await world.startGateway();
    this.#signal.throwIfAborted();
    const serialPort = this.#plant?.rtu?.path ?? '';
    const manifest = demoManifest({ tcpPort: this.#plant?.tcp.port ?? 0, serialPort });
    await world.deploy(manifest);
    // For whoever wants to read and change it.
    writeFileSync(join(world.directory, 'manifest.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
    screen.command(`weir hub deploy --device ${world.deviceId} manifest.json`);
    screen.say('An Azure IoT Edge manifest: the module modbus reads both slaves, the module', 'dim');
    screen.say("sensor is Azure's simulated temperature sensor.", 'dim');
    this.#follower = new Follower(
      [weirBinary, 'hub', 'monitor', '--json', '--from', 'earliest', ...world.hubDirs],
      { WEIR_EXTRACT_DIR: join(world.directory, 'native') },
      (event) => this.#telemetry.take(event),
    );
    await until('telemetry of both slaves and the sensor at the hub', readyMs, () => {
      this.#signal.throwIfAborted();
      return new Set(this.#telemetry.rows.map(({ device }) => device)).size >= 3 ? true : undefined;
    });
  }

  async #showTelemetry(): Promise<void> {
    const screen = this.#screen;
    screen.chapter('Live telemetry: what the plant measures is at the hub a moment later.');
    const endMs = performance.now() + liveMs;
    while (performance.now() < endMs) {
      screen.panel(this.#table());
      await this.#pause(panelEveryMs);
    }
    screen.endPanel(this.#table());
  }

  async #cutLine(): Promise<void> {
    const screen = this.#screen;
    screen.chapter('The link is cut: the gateway goes on measuring, and keeps it on its disk.');
    this.world.line.cut();
    this.#cutMs = Date.now();
    screen.command('weir status --json        (once a second)');
    for (let second = 1; second <= cutSeconds; second += 1) {
      await this.#pause(1000);
      this.#queueLine(`+${second} s`, await this.world.status());
    }
  }

  async #killGateway(): Promise<void> {
    const { world } = this;
    const screen = this.#screen;
    screen.chapter('Still offline, the gateway is killed with SIGKILL: its modules run on and keep what they read.');
    const before = modules.map((name) => world.modulePid(name));
    const readsBefore = this.#answered();
    const pid = world.gateway?.pid ?? 0;
    await world.killGateway();
    this.#deadMs = Date.now();
    screen.command(`kill -9 ${pid}`);
    screen.say(`the gateway    pid ${pid} is dead`, 'yellow');
    await this.#pause(deadMs);
    for (const [index, name] of modules.entries()) {
      const was = before[index] ?? 0;
      const isSame = was > 0 && world.modulePid(name) === was && existsSync(`/proc/${was}`);
      screen.say(`${name.padEnd(14)} pid ${was} ${isSame ? 'is alive' : 'ENDED'}`, isSame ? 'green' : 'red');
      if (!isSame) throw new TypeError(`the module ${name} (pid ${was}) did not outlive the gateway`);
    }
    const reads = sum(this.#answered()) - sum(readsBefore);
    screen.say(`In these ${deadMs / 1000} seconds the modules read the plant ${reads} times.`, 'dim');
    this.#signal.throwIfAborted();
    this.#backMs = Date.now();
    await world.startGateway();
    screen.command('weir run');
    for (let second = 1; second <= offlineSeconds; second += 1) {
      await this.#pause(1000);
      this.#queueLine(`+${second} s`, await world.status());
    }
    const { modules: now } = await world.status();
    const pids = modules.map((name) => now.find((module) => module.name === name)?.pid ?? 0);
    if (pids.some((found, index) => found !== before[index]))
      throw new TypeError(`the modules have other pids than before: ${before.join(', ')} became ${pids.join(', ')}`);
    const list = modules.map((name, index) => `${name} pid ${pids[index]}`).join(', ');
    screen.say(`The new gateway adopted them: ${list}. The queue is what it was and grows.`, 'dim');
  }

  async #restore(): Promise<void> {
    const { world } = this;
    const screen = this.#screen;
    screen.chapter('The link is mended: the backlog drains, oldest first, beside new samples.');
    const ageMs = Date.now() - this.#telemetry.newestMs;
    screen.say(`The newest sample that the hub has is ${seconds(ageMs)} old.`);
    const atHub = this.#telemetry.messages;
    this.#mendMs = Date.now();
    world.line.mend();
    const startMs = performance.now();
    for (;;) {
      const status = await world.status();
      const backlog = queued(status);
      this.#queueLine(`+${((performance.now() - startMs) / 1000).toFixed(1)} s`, status);
      if (status.hub.state === 'connected' && backlog <= barMessages) break;
      if (performance.now() - startMs > readyMs) throw new TypeError('the backlog did not drain');
      await this.#pause(status.hub.state === 'connected' ? 100 : 500);
    }
    await this.#pause(500);
    screen.say(`${this.#telemetry.messages - atHub} messages reached the hub; it is up to date:`, 'dim');
    screen.endPanel(this.#table());
  }

  async #prove(): Promise<Proof> {
    const { world } = this;
    const screen = this.#screen;
    screen.chapter(
      "The proof: every number that the modules and the plant gave must be in the hub's log, once, in order.",
    );
    const expected: Expected = {
      answered: this.#answered(),
      outage: { offline: [this.#cutMs, this.#mendMs], dead: [this.#deadMs, this.#backMs] },
    };
    // What the plant has answered up to now is on its way; when it does not come, the proof says what is missing.
    const isThere = async (): Promise<Proof | undefined> => {
      this.#signal.throwIfAborted();
      const proof = prove(await world.events(), expected);
      return proof.isGood ? proof : undefined;
    };
    const proof = await until('the proof', proofMs, isThere).catch(async () => prove(await world.events(), expected));
    screen.command('weir hub monitor --from earliest --no-follow --json');
    const head = [''.padEnd(30), 'numbers'.padStart(9), 'missing', 'repeated', 'reordered'].join('  ');
    screen.line(indent + screen.paint('dim', head));
    for (const { name, count, last, missing, repeated, reordered } of [...proof.streams, ...proof.counters]) {
      const [who = '', life] = name.split('/');
      const label = life === undefined ? `${who}, read by read` : `${who}, message by message`;
      const good = missing + repeated + reordered === 0 && count > 0;
      const cells = [label.padEnd(30), `1–${last}`.padStart(9), pad(missing, 7), pad(repeated, 8), pad(reordered, 9)];
      screen.line(indent + screen.paint(good ? 'green' : 'red', cells.join('  ')));
    }
    return proof;
  }

  /** By device: how many reads its slave has answered. */
  #answered(): Readonly<Record<string, number>> {
    return {
      [tcpDevice]: this.#plant?.tcp.slave.registers.reads ?? 0,
      [rtuDevice]: this.#plant?.rtu?.slave.registers.reads ?? 0,
    };
  }

  #queueLine(when: string, status: Status): void {
    const messages = queued(status);
    const isUp = status.hub.state === 'connected';
    const bar = '█'.repeat(Math.min(barMax, Math.ceil(messages / barMessages)));
    const text = `${when.padStart(7)}  ${isUp ? 'online ' : 'offline'}  ${pad(messages, 4)} waiting  `;
    this.#screen.line(indent + text + this.#screen.paint(isUp ? 'green' : 'yellow', bar));
  }

  #table(): readonly string[] {
    const screen = this.#screen;
    const cells = ['device'.padEnd(9), 'tag'.padEnd(12), 'value'.padStart(9), '   ', 'quality', '     age', 'sequence'];
    const nowMs = Date.now();
    return [
      indent + screen.paint('dim', cells.join('  ')),
      ...this.#telemetry.rows.map((row) => this.#row(row, nowMs)),
      indent + screen.paint('dim', `${this.#telemetry.messages} messages in the hub's log`),
    ];
  }

  #row({ device, tag, value, quality, sampledMs, sequence }: TagRow, nowMs: number): string {
    const isGood = quality === 'good';
    const age = seconds(nowMs - sampledMs).padStart(8);
    return (
      indent +
      [
        device.padEnd(9),
        tag.padEnd(12),
        String(value ?? '–').padStart(9),
        (units[tag] ?? '').padEnd(3),
        this.#screen.paint(isGood ? 'green' : 'red', quality.padEnd(7)),
        nowMs - sampledMs > 2000 ? this.#screen.paint('yellow', age) : age,
        pad(sequence, 8),
      ].join('  ')
    );
  }

  async #pause(ms: number): Promise<void> {
    await timer(ms, undefined, { signal: this.#signal });
  }
}

const proofMs = 60_000;

/** Messages that wait for the hub. */
function queued(status: Status): number {
  return status.queues.find(({ queue }) => queue === '$upstream')?.messages ?? 0;
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}

function seconds(ms: number): string {
  return `${(Math.max(0, ms) / 1000).toFixed(1)} s`;
}

function pad(value: number, width: number): string {
  return String(value).padStart(width);
}
