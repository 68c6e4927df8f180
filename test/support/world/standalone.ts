// `weir broker` of the executable under test in a directory of its own, with what the kernel says about the process.
//
//   const broker = await StandaloneBroker.start(t, { listen: ['tcp', 'wss'], toml: '…', limits: { … } })
//   broker.port('wss')   broker.memory().peakBytes   broker.resetPeak()
//
// Ends with the test: SIGTERM, and the exit code is looked at, so that a broker that died or hangs fails its test.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { wholeTree } from '../removal.ts';
import { Program, until } from './program.ts';
import { readyMs, weirBinary } from './world.ts';

export type Transport = 'tcp' | 'tls' | 'ws' | 'wss' | 'unix';

export interface StandaloneOptions {
  /** Each on a port, or at a path, of its own. */
  readonly listen?: readonly Transport[];
  /** Where others than 127.0.0.1 and a port of the system's choice are needed. */
  readonly listenUrls?: readonly string[];
  /** Lines of the configuration file, above its tables. */
  readonly toml?: string;
  /** Names of [limits], as docs/broker.md has them. */
  readonly limits?: Readonly<Record<string, number>>;
  /** Keeps sessions and retained messages on disk. */
  readonly durable?: boolean;
  readonly args?: readonly string[];
  /** Open files that the broker may have; the system's own bound when absent. */
  readonly openFilesMax?: number;
}

export interface ProcessMemory {
  readonly rssBytes: number;
  /** Highest since the start or resetPeak(). */
  readonly peakBytes: number;
}

export interface CertificateFiles {
  readonly authority: string;
  readonly certificate: string;
  readonly key: string;
  readonly clientCertificate: string;
  readonly clientKey: string;
  /** Common name of the client certificate. */
  readonly clientName: string;
}

const bytesPerKiB = 1024;
const ticksPerSecond = 100;
const everything = '5';

export class StandaloneBroker {
  readonly directory = mkdtempSync(join(tmpdir(), 'weir-alone-'));
  readonly certificates: CertificateFiles;
  readonly #options: StandaloneOptions;
  #program: Program | undefined;
  #listeners: readonly string[] = [];

  private constructor(options: StandaloneOptions) {
    this.#options = options;
    mkdirSync(join(this.directory, 'data'));
    const schemes = [...(options.listen ?? ['tcp']), ...(options.listenUrls ?? []).map((url) => url.split(':')[0])];
    const isTls = schemes.includes('tls') || schemes.includes('wss');
    this.certificates = certificateFiles(this.directory);
    if (isTls) makeCertificates(this.directory, this.certificates);
  }

  static async start(t: Test, options: StandaloneOptions = {}): Promise<StandaloneBroker> {
    const broker = new StandaloneBroker(options);
    t.teardown(() => broker.#destroy());
    await broker.startAgain();
    return broker;
  }

  get pid(): number {
    return this.#program?.pid ?? 0;
  }

  get running(): boolean {
    return this.#program?.running === true;
  }

  get log(): string {
    return this.#program?.stderr ?? '';
  }

  /** Resolves when the log has it: lines come a moment after what they tell of. */
  async logged(pattern: RegExp): Promise<string> {
    return until(`${pattern} in the log`, readyMs, () => pattern.exec(this.log)?.[0]);
  }

  /** Of the first listener with that scheme. */
  port(transport: Exclude<Transport, 'unix'> = 'tcp'): number {
    const url = this.#listeners.find((text) => text.startsWith(`${transport}://`)) ?? '';
    const port = Number(/:(\d+)$/.exec(url)?.[1]);
    if (!(port > 0)) throw new TypeError(`no listener for ${transport} among ${this.#listeners.join(' ')}`);
    return port;
  }

  get unixPath(): string {
    return join(this.directory, 'mqtt.sock');
  }

  /** After end() or kill(): the same files, perhaps other ports. */
  async startAgain(): Promise<void> {
    const { listen = ['tcp'], listenUrls = [], durable = false, args = [], openFilesMax } = this.#options;
    const urls = [...listen.map((name) => this.#url(name)), ...listenUrls];
    const hasTls = urls.some((url) => url.startsWith('tls:') || url.startsWith('wss:'));
    const { authority, certificate, key } = this.certificates;
    const command = [
      ...(openFilesMax === undefined ? [] : ['prlimit', `--nofile=${openFilesMax}:${openFilesMax}`]),
      weirBinary,
      'broker',
      '--json',
      '--config',
      this.#config(),
      ...urls.flatMap((url) => ['--listen', url]),
      ...(hasTls ? ['--tls-cert', certificate, '--tls-key', key, '--tls-ca', authority] : []),
      ...(durable ? ['--data-dir', join(this.directory, 'data')] : []),
      ...args,
    ];
    this.#program = new Program(command, { WEIR_EXTRACT_DIR: this.directory });
    const ready = JSON.parse(await this.#program.line('"ready"', readyMs)) as { readonly listeners: readonly string[] };
    this.#listeners = ready.listeners;
  }

  kill(): Promise<void> {
    return this.#program?.end('SIGKILL') ?? Promise.resolve();
  }

  /** In order: its exit code. */
  async end(): Promise<number | null> {
    await this.#program?.end('SIGTERM');
    return (await this.#program?.result())?.code ?? null;
  }

  memory(): ProcessMemory {
    const text = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    const bytes = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(text)?.[1]) * bytesPerKiB;
    return { rssBytes: bytes('VmRSS'), peakBytes: bytes('VmHWM') };
  }

  /** From now on `peakBytes` tells of what comes. */
  resetPeak(): void {
    writeFileSync(`/proc/${this.pid}/clear_refs`, everything);
  }

  /** Of all its threads, user and system. */
  cpuSeconds(): number {
    const fields = readFileSync(`/proc/${this.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
  }

  openFiles(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  /** How many files it may have open. */
  openFilesMax(): number {
    return Number(/Max open files\s+(\d+)/.exec(readFileSync(`/proc/${this.pid}/limits`, 'utf8'))?.[1]);
  }

  #url(transport: Transport): string {
    return transport === 'unix' ? `unix://${this.unixPath}` : `${transport}://127.0.0.1:0`;
  }

  #config(): string {
    const { toml = '', limits = {} } = this.#options;
    const path = join(this.directory, 'broker.toml');
    const lines = Object.entries(limits).map(([name, value]) => `${name} = ${value}`);
    writeFileSync(path, [toml, '[limits]', ...lines, ''].join('\n'));
    return path;
  }

  async #destroy(): Promise<void> {
    const wasRunning = this.running;
    const code = await this.end();
    rmSync(this.directory, wholeTree);
    if (wasRunning && code !== 0)
      throw new TypeError(`the broker ended with ${code}:\n${this.log.slice(-bytesPerKiB)}`);
  }
}

function certificateFiles(directory: string): CertificateFiles {
  const file = (name: string): string => join(directory, name);
  return {
    authority: file('ca.pem'),
    certificate: file('localhost.pem'),
    key: file('localhost.key'),
    clientCertificate: file('plc-1.pem'),
    clientKey: file('plc-1.key'),
    clientName: 'plc-1',
  };
}

/** An authority, a server certificate for localhost and two loopback addresses, a client's; all of P-256. */
function makeCertificates(cwd: string, { clientName }: CertificateFiles): void {
  const openssl = (...args: readonly string[]): void => {
    execFileSync('openssl', args, { cwd, stdio: 'ignore' });
  };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=test authority', '-days', '2');
  const names = {
    localhost: 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:127.0.0.79',
    [clientName]: 'extendedKeyUsage=clientAuth',
  };
  for (const [name, extension] of Object.entries(names)) {
    writeFileSync(join(cwd, `${name}.ext`), `${extension}\n`);
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    const ca = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'];
    const files = ['-in', `${name}.csr`, '-out', `${name}.pem`, '-extfile', `${name}.ext`];
    openssl('x509', '-req', ...files, ...ca, '-days', '2');
  }
}
