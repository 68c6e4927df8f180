// A small world of real programs: a hub, a gateway, a line between them that can be cut, all in one temp dir.
//
//   plant ─► [ gateway: weir run ] ─► TcpLine ─► [ hub: weir hub start ]
//
// Every part is the executable under test (WEIR_BIN, else out/weir-linux-x64). Parts are killed and restarted as
// the test says; close() ends whatever was started here, by pid, modules and their shims included.

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { JsonObject } from '../../../src/model/json.ts';
import { Program, type ProgramResult, until } from './program.ts';
import { TcpLine } from './tcp-line.ts';

export interface HubEvent {
  readonly offset: number;
  readonly deviceId: string;
  readonly moduleId: string | null;
  readonly output: string | null;
  readonly properties: Readonly<Record<string, string>>;
  readonly body: unknown;
}

export const weirBinary = resolve(process.env['WEIR_BIN'] ?? 'out/weir-linux-x64');
export const readyMs = 60_000;

export class World {
  readonly directory: string;
  readonly deviceId = 'gw1';
  readonly line = new TcpLine();
  readonly #binary: readonly string[];
  readonly #env: Readonly<Record<string, string>>;
  hub: Program | undefined;
  gateway: Program | undefined;

  constructor(options: { readonly binary?: readonly string[]; readonly env?: Readonly<Record<string, string>> } = {}) {
    this.#binary = options.binary ?? [weirBinary];
    this.directory = mkdtempSync(join(tmpdir(), 'weir-e2e-'));
    this.#env = { WEIR_EXTRACT_DIR: join(this.directory, 'native'), ...options.env };
    for (const name of ['hub', 'gw']) mkdirSync(join(this.directory, name, 'run'), { recursive: true });
  }

  get hubDirs(): readonly string[] {
    return ['--data-dir', join(this.directory, 'hub'), '--run-dir', join(this.directory, 'hub', 'run')];
  }

  get gatewayDirs(): readonly string[] {
    const gw = join(this.directory, 'gw');
    return ['--config', join(gw, 'config.toml'), '--data-dir', join(gw, 'data'), '--run-dir', join(gw, 'run')];
  }

  start(...args: readonly string[]): Program {
    return new Program([...this.#binary, ...args], this.#env);
  }

  /** Runs a command to its end. */
  run(...args: readonly string[]): Promise<ProgramResult> {
    return this.start(...args).result();
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
    this.line.pointAt(ready.mqttPort);
  }

  async killHub(): Promise<void> {
    await this.hub?.end('SIGKILL');
    this.line.pointAt(0);
  }

  /** Registers the gateway's device at the hub and writes the gateway's configuration. */
  async provision(extraToml = ''): Promise<void> {
    const port = await this.line.open();
    await this.succeed('hub', 'device', 'create', this.deviceId, '--edge', ...this.hubDirs);
    const text = (await this.succeed('hub', 'device', 'connection-string', this.deviceId, ...this.hubDirs)).trim();
    const connection = `${text.replace(/;Port=\d+/, '')};Port=${port}`;
    const config = [
      'hostname = "localhost"',
      `trust_bundle_cert = "file://${join(this.directory, 'hub', 'certs', 'hub-ca.pem')}"`,
      '[provisioning]',
      'source = "manual"',
      `connection_string = "${connection}"`,
      extraToml,
    ].join('\n');
    writeFileSync(join(this.directory, 'gw', 'config.toml'), config, { mode: 0o600 });
  }

  async startGateway(): Promise<void> {
    const gateway = this.start('run', ...this.gatewayDirs);
    this.gateway = gateway;
    await gateway.line('weir is ready', readyMs);
  }

  async killGateway(): Promise<void> {
    await this.gateway?.end('SIGKILL');
  }

  async deploy(manifest: JsonObject): Promise<void> {
    const path = join(this.directory, 'manifest.json');
    writeFileSync(path, JSON.stringify(manifest));
    await this.succeed('hub', 'deploy', '--device', this.deviceId, path, ...this.hubDirs);
  }

  /** Everything in the hub's log. */
  async events(): Promise<readonly HubEvent[]> {
    const text = await this.succeed('hub', 'monitor', '--json', '--no-follow', '--from', 'earliest', ...this.hubDirs);
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as HubEvent);
  }

  async status(): Promise<{
    readonly hub: { readonly state: string };
    readonly queues: readonly { readonly queue: string; readonly messages: number }[];
    readonly modules: readonly {
      readonly name: string;
      readonly runtimeStatus: string;
      readonly pid: number | null;
      readonly startedAtMs: number;
    }[];
    readonly deployment: { readonly version: number; readonly code: number; readonly description: string };
  }> {
    return JSON.parse(await this.succeed('status', '--json', ...this.gatewayDirs)) as Awaited<
      ReturnType<World['status']>
    >;
  }

  /** Pid of a module as its shim wrote it down; 0 when it does not run. */
  modulePid(name: string): number {
    const path = join(this.directory, 'gw', 'run', 'modules', name, 'state.json');
    return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as { readonly pid: number }).pid : 0;
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
      throw new TypeError(
        `${String(error)}\n--- gateway ---\n${this.gateway?.stdout.slice(-4000) ?? ''}${this.gateway?.stderr.slice(-2000) ?? ''}\n--- hub ---\n${this.hub?.stdout.slice(-2000) ?? ''}${this.hub?.stderr.slice(-2000) ?? ''}`,
      );
    });
  }

  async close(): Promise<void> {
    await this.gateway?.end('SIGKILL');
    await this.hub?.end('SIGKILL');
    await this.line.close();
    const modules = join(this.directory, 'gw', 'run', 'modules');
    for (const name of existsSync(modules) ? readdirSync(modules) : [])
      this.#killShim(join(modules, name, 'state.json'));
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** The module dies with its shim. */
  #killShim(statePath: string): void {
    if (!existsSync(statePath)) return;
    const { shimPid, shimStart } = JSON.parse(readFileSync(statePath, 'utf8')) as {
      readonly shimPid: number;
      readonly shimStart: number;
    };
    try {
      const stat = readFileSync(`/proc/${shimPid}/stat`, 'utf8');
      if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]) === shimStart) process.kill(shimPid, 'SIGKILL');
    } catch {
      // It ended already.
    }
  }
}
