// What weir costs on this machine: executable size, memory while idle, cold start. `make footprint` runs it.
//
//   size        bytes of each executable that is built, and of its xz (the download)
//   idle        PSS of every process of a gateway without modules, connected to a hub on this machine
//   module      what one more simulated-temperature-sensor adds to that sum
//   cold start  from fork to the first CONNACK that accepts, with a data directory that was used before
//
// PSS, never RSS: the processes are the same executable and share its text. A page shared by n processes counts
// 1/n in each, so that the sum is what the machine would get back. The hub runs another copy of the executable,
// in another file, so that it shares nothing with the gateway and takes no part of the blame.
// Kernels that map large folios whole count up to 2 MB for one used page of the executable: docs/DECISIONS.md.
//
// Every figure stands beside its budget, and the exit code says whether one was missed.

import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { generate, parser } from 'mqtt-packet';
import { DeviceKey } from '../../src/identity/index.ts';
import type { JsonObject } from '../../src/model/json.ts';
import { sasResource } from '../../src/protocol/iothub/sas.ts';
import { Program } from '../support/world/program.ts';
import { World, weirBinary } from '../support/world/world.ts';

const run = promisify(execFile);

/** Starting memory is given back in two steps, the later one 20 s after the start (platform/memory.ts). */
const settleMs = 30_000;
const startsMeasured = 9;
const tokenLifeSeconds = 3600;
const startTimeoutMs = 20_000;
const attemptPauseMs = 1;
const kiB = 1024;
const MB = 1_000_000;
const probe = 'probe';
const hubHost = 'localhost';

interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: 'MB' | 'ms';
  readonly budget: number | undefined;
}

function manifest(sensors: number): JsonObject {
  const module = (status: string): JsonObject => ({
    version: '1',
    type: 'process',
    status,
    restartPolicy: 'always',
    settings: { executable: 'weir:simulated-temperature-sensor' },
    env: { MessageCount: { value: '-1' } },
  });
  const modules: Record<string, JsonObject> = { [probe]: module('stopped') };
  for (let at = 1; at <= sensors; at++) modules[`sensor${at}`] = module('running');
  const system = (name: string): JsonObject => ({
    type: 'docker',
    settings: { image: `mcr.microsoft.com/azureiotedge-${name}:1.5`, createOptions: '{}' },
  });
  return {
    modulesContent: {
      $edgeAgent: {
        'properties.desired': {
          schemaVersion: '1.1',
          runtime: { type: 'docker', settings: { minDockerVersion: 'v1.25' } },
          systemModules: {
            edgeAgent: system('agent'),
            edgeHub: { ...system('hub'), status: 'running', restartPolicy: 'always' },
          },
          modules,
        },
      },
      $edgeHub: {
        'properties.desired': {
          schemaVersion: '1.1',
          routes: { all: 'FROM /messages/* INTO $upstream' },
          storeAndForwardConfiguration: { timeToLiveSecs: 7200 },
        },
      },
    },
  };
}

/** Pids of the gateway, of every shim and of every module, by their state files. */
function gatewayPids(world: World): readonly number[] {
  const modules = join(world.directory, 'gw', 'run', 'modules');
  const pids = new Set<number>([world.gateway?.pid ?? 0]);
  for (const name of existsSync(modules) ? readdirSync(modules) : []) {
    const path = join(modules, name, 'state.json');
    if (!existsSync(path)) continue;
    const state = JSON.parse(readFileSync(path, 'utf8')) as { readonly pid: number; readonly shimPid: number };
    for (const pid of [state.pid, state.shimPid]) if (existsSync(`/proc/${pid}`)) pids.add(pid);
  }
  return [...pids];
}

function pssMB(pids: readonly number[]): number {
  let kib = 0;
  for (const pid of pids) {
    const found = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'));
    kib += Number(found?.[1] ?? 0);
  }
  return (kib * kiB) / MB;
}

/** One line a process for the reader who wants to know where the sum comes from. */
function breakdown(pids: readonly number[]): string {
  const lines = pids.map((pid) => {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    const part = (name: string): string => {
      const kib = Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1] ?? 0);
      return `${((kib * kiB) / MB).toFixed(1).padStart(6)} MB`;
    };
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, 4).join(' ');
    return `         ${part('Pss')}, anonymous ${part('Pss_Anon')}, file ${part('Pss_File')}  ${command}`;
  });
  return lines.join('\n');
}

function median(values: readonly number[]): number {
  return [...values].sort((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** True when the broker accepts a module of this gateway; false while nobody listens yet. */
function accepted(path: string, packet: Buffer): Promise<boolean> {
  return new Promise((resolveAttempt, reject) => {
    const socket = connect(path);
    const answers = parser();
    answers.on('packet', (answer) => {
      socket.destroy();
      if (answer.cmd === 'connack' && answer.returnCode === 0) resolveAttempt(true);
      else reject(new TypeError(`the gateway answered ${JSON.stringify(answer)}`));
    });
    socket.on('connect', () => socket.write(packet));
    socket.on('data', (data) => answers.parse(data));
    socket.on('error', () => resolveAttempt(false));
    socket.on('close', () => resolveAttempt(false));
  });
}

function connectPacket(world: World): Buffer {
  const key = new DeviceKey(readFileSync(join(world.directory, 'gw', 'data', 'local.key'), 'utf8').trim());
  const identity = { deviceId: world.deviceId, moduleId: probe };
  const expirySeconds = Math.floor(Date.now() / 1000) + tokenLifeSeconds;
  return generate({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clientId: `${world.deviceId}/${probe}`,
    username: `${hubHost}/${world.deviceId}/${probe}/?api-version=2021-04-12`,
    password: Buffer.from(key.token(sasResource(hubHost, identity), expirySeconds)),
    clean: true,
    keepalive: 60,
  });
}

async function coldStartMs(world: World): Promise<number> {
  await world.gateway?.end('SIGTERM');
  const path = join(world.directory, 'gw', 'run', 'mqtt.sock');
  const packet = connectPacket(world);
  const startedAt = performance.now();
  const gateway = world.start('run', ...world.gatewayDirs);
  world.gateway = gateway;
  for (;;) {
    if (await accepted(path, packet)) break;
    const elapsed = performance.now() - startedAt;
    if (!gateway.running || elapsed > startTimeoutMs)
      throw new TypeError(`the gateway did not start:\n${gateway.stdout}${gateway.stderr}`);
    await pause(attemptPauseMs);
  }
  const tookMs = performance.now() - startedAt;
  await gateway.line('weir is ready', startTimeoutMs);
  return tookMs;
}

function say(text: string): void {
  process.stderr.write(`  ...    ${text}\n`);
}

async function sizes(): Promise<readonly Figure[]> {
  const budgets = { x64: undefined, arm64: 110, armv7: 80 } as const;
  const found: Figure[] = [];
  for (const [target, budget] of Object.entries(budgets)) {
    const file = resolve(`out/weir-linux-${target}`);
    if (!existsSync(file)) continue;
    say(`compressing ${target}`);
    const { stdout } = await run('sh', ['-c', 'xz -6 -T2 -c "$1" | wc -c', 'sh', file]);
    found.push({ name: `executable ${target}`, value: statSync(file).size / MB, unit: 'MB', budget });
    found.push({ name: `executable ${target}, xz`, value: Number(stdout) / MB, unit: 'MB', budget: 30 });
  }
  return found;
}

async function memory(world: World): Promise<readonly Figure[]> {
  const settled = async (sensors: number): Promise<number> => {
    say(`settling with ${sensors} modules for ${settleMs / 1000} s`);
    await world.deploy(manifest(sensors));
    await world.eventually('the modules run', async () => {
      const { modules } = await world.status();
      return modules.filter(({ runtimeStatus }) => runtimeStatus === 'running').length === sensors ? true : undefined;
    });
    // A fresh start, so that the work of deploying is not counted as idle.
    await world.gateway?.end('SIGTERM');
    await world.startGateway();
    await pause(settleMs);
    const pids = gatewayPids(world);
    process.stderr.write(`${breakdown(pids)}\n`);
    return pssMB(pids);
  };
  const idle = await settled(0);
  const one = await settled(1);
  const three = await settled(3);
  return [
    { name: 'idle PSS, no module', value: idle, unit: 'MB', budget: 60 },
    { name: 'the first module adds', value: one - idle, unit: 'MB', budget: undefined },
    { name: 'each further module adds', value: (three - one) / 2, unit: 'MB', budget: 8 },
  ];
}

async function coldStarts(world: World): Promise<readonly Figure[]> {
  const times: number[] = [];
  for (let at = 0; at < startsMeasured; at++) times.push(await coldStartMs(world));
  say(`cold starts: ${times.map((ms) => ms.toFixed(0)).join(' ')} ms`);
  return [{ name: `cold start, median of ${startsMeasured}`, value: median(times), unit: 'ms', budget: 400 }];
}

async function measure(): Promise<readonly Figure[]> {
  const figures: Figure[] = [...(await sizes())];
  const world = new World();
  const hubBinary = join(world.directory, 'hub-copy');
  copyFileSync(weirBinary, hubBinary);
  try {
    say('starting a hub and a gateway');
    const hub = new Program(
      [hubBinary, 'hub', 'start', ...world.hubDirs, '--hostname', hubHost, '--mqtt-port', '0', '--json'],
      { WEIR_EXTRACT_DIR: join(world.directory, 'native') },
    );
    world.hub = hub;
    const ready = JSON.parse(await hub.line('"mqttPort"', startTimeoutMs)) as { readonly mqttPort: number };
    world.line.pointAt(ready.mqttPort);
    await world.provision();
    await world.startGateway();
    figures.push(...(await memory(world)));
    await world.deploy(manifest(0));
    await world.eventually('the modules are gone', async () => {
      const { modules } = await world.status();
      return modules.every(({ runtimeStatus }) => runtimeStatus !== 'running') ? true : undefined;
    });
    figures.push(...(await coldStarts(world)));
  } finally {
    await world.close();
  }
  return figures;
}

function missed({ value, budget }: Figure): boolean {
  return budget !== undefined && value > budget;
}

function table(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => {
    const digits = figure.unit === 'ms' ? 0 : 1;
    const budget = figure.budget === undefined ? '' : `budget ${figure.budget} ${figure.unit}`;
    const verdict = figure.budget === undefined ? '' : missed(figure) ? 'MISSED' : 'ok';
    return `${figure.name.padEnd(30)}${figure.value.toFixed(digits).padStart(8)} ${figure.unit}   ${budget.padEnd(16)}${verdict}`;
  });
  return `${rows.join('\n')}\n`;
}

const figures = await measure();
if (process.argv.includes('--json'))
  process.stdout.write(`${JSON.stringify(figures.map((figure) => ({ ...figure, missed: missed(figure) })))}\n`);
else process.stdout.write(table(figures));
process.exitCode = figures.some(missed) ? 1 : 0;
