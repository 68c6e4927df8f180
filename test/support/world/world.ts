// A small world of real programs: a hub, a gateway, a line between them that can be cut, all in one temp dir.
//
//   plant ─► [ gateway: weir run ] ─► TcpLine ─► [ hub: weir hub start ]
//
// Every part is the executable under test (WEIR_BIN, else out/weir-linux-x64). Parts are killed and restarted as
// the test says; close() ends whatever was started here, by pid, modules and their shims included.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { JsonObject } from '../../../src/model/json.ts';
import { wholeTree } from '../removal.ts';
import { Program, type ProgramResult, until } from './program.ts';
import { TcpLine } from './tcp-line.ts';
import { type SocketAnswer, socketCall, socketLines } from './unix-http.ts';

export interface HubEvent {
  readonly offset: number;
  readonly deviceId: string;
  readonly moduleId: string | null;
  readonly output: string | null;
  readonly properties: Readonly<Record<string, string>>;
  readonly systemProperties: Readonly<Record<string, string>>;
  readonly body: unknown;
}

export interface WorldModule {
  readonly name: string;
  readonly runtimeStatus: string;
  readonly pid: number | null;
  readonly startedAtMs: number | null;
  readonly exitedAtMs: number | null;
  readonly restartCount: number;
  readonly nextStartAtMs: number | null;
  readonly statusDescription: string;
  readonly exitCode: number;
}

export interface WorldStatus {
  readonly hub: { readonly state: string; readonly lastError?: string };
  readonly queues: readonly {
    readonly queue: string;
    readonly messages: number;
    readonly bytes: number;
    /** Unix ms, by the gateway's clock; null: nothing waits. */
    readonly oldestEnqueuedMs: number | null;
    readonly dropped: Readonly<Record<string, number>>;
  }[];
  readonly modules: readonly WorldModule[];
  readonly deployment: { readonly version: number; readonly code: number; readonly description: string };
  readonly store: { readonly fileBytes: number; readonly quarantined: readonly string[] };
}

export interface WorldTwin {
  readonly desired: JsonObject;
  readonly reported: JsonObject;
}

export const weirBinary = resolve(process.env['WEIR_BIN'] ?? 'out/weir-linux-x64');
export const readyMs = 180_000;
/** Of each program's output, for the report of a failure. */
const saidCharactersMax = 2000;

export class World {
  readonly directory: string;
  readonly deviceId = 'gw1';
  readonly line = new TcpLine();
  readonly #binary: readonly string[];
  readonly #env: Readonly<Record<string, string>>;
  readonly #started = new Set<Program>();
  hub: Program | undefined;
  gateway: Program | undefined;
  /** Where the hub's broker listens, on 127.0.0.1. */
  hubPort = 0;

  constructor(
    options: {
      readonly binary?: readonly string[];
      /** For every program; told the directory of this world. */
      readonly env?: Readonly<Record<string, string>> | ((directory: string) => Readonly<Record<string, string>>);
      readonly name?: string;
    } = {},
  ) {
    this.#binary = options.binary ?? [weirBinary];
    this.directory = mkdtempSync(join(tmpdir(), `weir-${options.name ?? 'e2e'}-`));
    const env = typeof options.env === 'function' ? options.env(this.directory) : options.env;
    this.#env = { WEIR_EXTRACT_DIR: join(this.directory, 'native'), ...env };
    for (const name of ['hub', 'gw']) mkdirSync(join(this.directory, name, 'run'), { recursive: true });
  }

  get hubDirs(): readonly string[] {
    return ['--data-dir', join(this.directory, 'hub'), '--run-dir', join(this.directory, 'hub', 'run')];
  }

  get gatewayDirs(): readonly string[] {
    return ['--config', this.configPath, '--data-dir', this.dataDir, '--run-dir', this.runDir];
  }

  get configPath(): string {
    return join(this.directory, 'gw', 'config.toml');
  }

  get dataDir(): string {
    return join(this.directory, 'gw', 'data');
  }

  get runDir(): string {
    return join(this.directory, 'gw', 'run');
  }

  start(...args: readonly string[]): Program {
    return this.startWith({}, ...args);
  }

  /** With more in its environment than this world's. */
  startWith(env: Readonly<Record<string, string>>, ...args: readonly string[]): Program {
    const started = new Program([...this.#binary, ...args], { ...this.#env, ...env });
    this.#started.add(started);
    return started;
  }

  /** Runs a command to its end. */
  async run(...args: readonly string[]): Promise<ProgramResult> {
    const program = this.start(...args);
    const result = await program.result();
    this.#started.delete(program);
    return result;
  }

  /** Runs a command that must succeed; its standard output. */
  async succeed(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...args);
    if (code !== 0) throw new TypeError(`weir ${args.join(' ')} ended with ${code}:\n${stdout}${stderr}`);
    return stdout;
  }

  async startHub(): Promise<void> {
    const hub = this.start(
      'hub',
      'start',
      ...this.hubDirs,
      '--hostname',
      'localhost',
      '--mqtt-host',
      '127.0.0.1',
      '--mqtt-port',
      '0',
      '--json',
    );
    this.hub = hub;
    const ready = JSON.parse(await hub.line('"mqttPort"', readyMs)) as { readonly mqttPort: number };
    this.hubPort = ready.mqttPort;
    this.line.pointAt(ready.mqttPort);
  }

  async killHub(): Promise<void> {
    await this.hub?.end('SIGKILL');
    this.line.pointAt(0);
  }

  /** A request to the hub's service API. */
  hubCall(method: string, path: string, body?: string): Promise<SocketAnswer> {
    return socketCall({ socketPath: join(this.directory, 'hub', 'run', 'hub.sock'), method, path, body });
  }

  /** A request to the gateway's admin socket. */
  adminCall(method: string, path: string, body?: string): Promise<SocketAnswer> {
    return socketCall({ socketPath: join(this.runDir, 'admin.sock'), method, path, body });
  }

  /**
   * Registers the gateway's device at the hub and writes the gateway's configuration. `hostname` is the gateway's
   * own; `extraToml` is put at the end.
   */
  async provision(extraToml = '', hostname = 'localhost'): Promise<void> {
    const port = await this.line.open();
    await this.succeed('hub', 'device', 'create', this.deviceId, '--edge', ...this.hubDirs);
    const text = (await this.succeed('hub', 'device', 'connection-string', this.deviceId, ...this.hubDirs)).trim();
    const connection = `${text.replace(/;Port=\d+/, '')};Port=${port}`;
    const config = [
      `hostname = "${hostname}"`,
      `trust_bundle_cert = "file://${join(this.directory, 'hub', 'certs', 'hub-ca.pem')}"`,
      '[provisioning]',
      'source = "manual"',
      `connection_string = "${connection}"`,
      extraToml,
    ].join('\n');
    writeFileSync(this.configPath, config, { mode: 0o600 });
  }

  async startGateway(): Promise<void> {
    const gateway = this.start('run', ...this.gatewayDirs);
    this.gateway = gateway;
    await gateway.line('weir is ready', readyMs);
  }

  async killGateway(): Promise<void> {
    await this.gateway?.end('SIGKILL');
  }

  /** The orderly end; modules go on. Rejects when it does not end with 0. */
  async stopGateway(): Promise<void> {
    await this.gateway?.end('SIGTERM');
    const { code, stderr } = (await this.gateway?.result()) ?? { code: 0, stderr: '' };
    if (code !== 0) throw new TypeError(`weir run ended with ${code} after SIGTERM:\n${stderr}`);
  }

  async deploy(manifest: JsonObject): Promise<void> {
    const path = join(this.directory, 'manifest.json');
    writeFileSync(path, JSON.stringify(manifest));
    await this.succeed('hub', 'deploy', '--device', this.deviceId, path, ...this.hubDirs);
  }

  /** Changes desired properties of a module at the hub by a merge patch. */
  async patchDesired(moduleId: string, desired: JsonObject): Promise<void> {
    const path = `/twins/${this.deviceId}/modules/${encodeURIComponent(moduleId)}`;
    const { status, body } = await this.hubCall('PATCH', path, JSON.stringify({ properties: { desired } }));
    if (status !== 200) throw new TypeError(`the hub answered ${status}: ${body}`);
  }

  /** What the hub knows of a module. */
  async twin(moduleId: string): Promise<WorldTwin> {
    const { status, body } = await this.hubCall(
      'GET',
      `/twins/${this.deviceId}/modules/${encodeURIComponent(moduleId)}`,
    );
    if (status !== 200) throw new TypeError(`the hub answered ${status}: ${body}`);
    return (JSON.parse(body) as { readonly properties: WorldTwin }).properties;
  }

  /** Everything in the hub's log from an offset on. */
  async events(from: number | 'earliest' = 'earliest'): Promise<readonly HubEvent[]> {
    const { status, body } = await this.hubCall('GET', `/events?from=${from}`);
    if (status !== 200) throw new TypeError(`the hub answered ${status}: ${body}`);
    return body
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as HubEvent);
  }

  /** The same, one after the other: for logs that are larger than a text may be. */
  async *eachEvent(from: number | 'earliest'): AsyncGenerator<HubEvent, void, undefined> {
    const socketPath = join(this.directory, 'hub', 'run', 'hub.sock');
    for await (const line of socketLines({ socketPath, path: `/events?from=${from}` }))
      if (line !== '') yield JSON.parse(line) as HubEvent;
  }

  /** Waits until the hub's log has `count` messages of the module behind offset `after`; answers them. */
  messages(moduleId: string, count: number, after = 0): Promise<readonly HubEvent[]> {
    return this.eventually(`${count} messages of ${moduleId} at the hub`, async () => {
      const own = (await this.events(after === 0 ? 'earliest' : after)).filter(
        (event) => event.moduleId === moduleId && event.offset > after,
      );
      return own.length >= count ? own : undefined;
    });
  }

  async lastOffset(): Promise<number> {
    const { body } = await this.hubCall('GET', '/status');
    return (JSON.parse(body) as { readonly eventLog: { readonly nextOffset: number } }).eventLog.nextOffset - 1;
  }

  async status(): Promise<WorldStatus> {
    const { status, body } = await this.adminCall('GET', '/status');
    if (status !== 200) throw new TypeError(`the admin socket answered ${status}: ${body}`);
    return JSON.parse(body) as WorldStatus;
  }

  async module(name: string): Promise<WorldModule | undefined> {
    return (await this.status()).modules.find((module) => module.name === name);
  }

  /** Waits until the module's process is up. */
  running(name: string): Promise<WorldModule & { readonly pid: number; readonly startedAtMs: number }> {
    return this.eventually(`${name} runs`, async () => {
      const found = await this.module(name);
      if (found === undefined || found.runtimeStatus !== 'running') return undefined;
      const { pid, startedAtMs } = found;
      return pid === null || startedAtMs === null ? undefined : { ...found, pid, startedAtMs };
    });
  }

  async queued(queue = '$upstream'): Promise<number> {
    const lanes = (await this.status()).queues.filter((facts) => facts.queue === queue);
    return lanes.reduce((sum, { messages }) => sum + messages, 0);
  }

  /**
   * Waits until nothing of what waits now, or came before, is in the queue. It need not be empty: while somebody
   * sends, the messages of the last commits are always on their way.
   */
  async drained(queue = '$upstream'): Promise<void> {
    const nowMs = Date.now();
    await this.eventually(`what waited in ${queue} is gone`, async () => {
      const lanes = (await this.status()).queues.filter((facts) => facts.queue === queue);
      return lanes.every(({ oldestEnqueuedMs }) => (oldestEnqueuedMs ?? Number.POSITIVE_INFINITY) > nowMs) || undefined;
    });
  }

  /** Pid of a module as its shim wrote it down; 0 when it does not run. */
  modulePid(name: string): number {
    try {
      const text = readFileSync(join(this.directory, 'gw', 'run', 'modules', name, 'state.json'), 'utf8');
      return (JSON.parse(text) as { readonly pid: number }).pid;
    } catch {
      return 0;
    }
  }

  /** SIGKILL for the module's process; false when there is none just now. */
  killModule(name: string): boolean {
    const pid = this.modulePid(name);
    try {
      return pid > 0 && process.kill(pid, 'SIGKILL');
    } catch {
      return false;
    }
  }

  async eventually<T>(
    what: string,
    look: () => T | undefined | Promise<T | undefined>,
    timeoutMs = readyMs,
  ): Promise<T> {
    return until(what, timeoutMs, look).catch((error: unknown) => {
      const said = (program: Program | undefined): string =>
        `${program?.stdout.slice(-saidCharactersMax) ?? ''}${program?.stderr.slice(-saidCharactersMax) ?? ''}`;
      // As fields: in a message the test runner joins the lines.
      throw Object.assign(new TypeError(String(error)), { gateway: said(this.gateway), hub: said(this.hub) });
    });
  }

  /** While no gateway runs: ends every module and empties the volatile directory, as a power cut does. */
  clearRunDir(): void {
    killShims(this.runDir);
    rmSync(this.runDir, wholeTree);
    mkdirSync(this.runDir);
  }

  async close(): Promise<void> {
    for (const started of this.#started) await started.end('SIGKILL');
    await this.line.close();
    this.clearRunDir();
    rmSync(this.directory, wholeTree);
  }
}

/** A module dies with its shim. Shims are found by their command line, since tests spoil records. */
function killShims(runDir: string): void {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (!readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(`\0--dir\0${runDir}/modules/`)) continue;
      process.kill(Number(name), 'SIGKILL');
    } catch {
      // It ended meanwhile.
    }
  }
}
