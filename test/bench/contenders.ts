// The brokers that are measured, each started with settings that do not hold it back; docs/bench.md tells them.
//
// weir carries an ACL file in every run, the others none: what authorisation costs is weir's handicap.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { Program, until } from '../support/world/program.ts';
import type { CaseSet } from './cases.ts';
import { durable, ours } from './figures.ts';
import { generatorFile } from './load.ts';

export interface RunningBroker {
  readonly name: string;
  readonly pid: number;
  readonly port: number;
  readonly tlsPort: number | undefined;
  readonly isAlive: boolean;
  end(): Promise<void>;
}

export interface Contender {
  readonly name: string;
  readonly version: string;
  readonly command: string;
  /** Where it takes part; everywhere when absent. */
  readonly sets?: readonly CaseSet[];
  start(): Promise<RunningBroker>;
}

export interface ContenderOptions {
  readonly directory: string;
  /** `weir broker` of the executable, or from the sources. */
  readonly weir: 'executable' | 'sources';
}

const startTimeoutMs = 20_000;
const host = '127.0.0.1';
/** As sea-config.json sets it for the executable. */
const youngGeneration = '--max-semi-space-size=2';

/** Grants what the load uses, behind rules of both kinds that do not match. */
const aclText = [
  'topic deny secret/#',
  'topic readwrite load/#',
  'user operator',
  'topic readwrite #',
  'pattern readwrite devices/%c/#',
  '',
].join('\n');

export async function freePort(): Promise<number> {
  return new Promise((resolvePort, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host, port: 0 }, () => {
      const address = server.address();
      server.close(() => resolvePort(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

function answers(port: number): Promise<true | undefined> {
  return new Promise((settle) => {
    const socket = connect({ host, port });
    socket.once('connect', () => {
      socket.destroy();
      settle(true);
    });
    socket.once('error', () => settle(undefined));
  });
}

interface Certificate {
  readonly certificate: string;
  readonly key: string;
}

/** P-256, as gateways use it. */
function makeCertificate(directory: string): Certificate {
  const certificate = join(directory, 'certificate.pem');
  const key = join(directory, 'key.pem');
  if (!existsSync(certificate)) {
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
    const files = ['-keyout', key, '-out', certificate];
    execFileSync('openssl', ['req', '-x509', ...curve, '-nodes', '-days', '2', '-subj', '/CN=localhost', ...files], {
      stdio: 'ignore',
    });
  }
  return { certificate, key };
}

async function started(
  name: string,
  command: readonly string[],
  ports: { readonly port: number; readonly tlsPort: number | undefined },
): Promise<RunningBroker> {
  const program = new Program(command, {});
  // An interrupted bench leaves no broker behind.
  const kill = (): void => void program.end('SIGKILL');
  process.once('exit', kill);
  await until(`${name} on port ${ports.port}`, startTimeoutMs, () => {
    if (program.running) return answers(ports.port);
    throw new TypeError(`${name} ended by itself:\n${program.stdout}${program.stderr}`);
  });
  return {
    name,
    pid: program.pid,
    ...ports,
    get isAlive() {
      return program.running;
    },
    end() {
      process.off('exit', kill);
      return program.end('SIGTERM');
    },
  };
}

/** The Node of the x64 executable where it is there, so that every Node broker runs on the same one. */
export function nodeFile(): string {
  const embedded = resolve('out/build/x64/node');
  return existsSync(embedded) ? embedded : process.execPath;
}

function firstLine(command: string, args: readonly string[]): string {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n')[0] ?? '';
  } catch (error) {
    // mosquitto -h tells its version and ends with 3.
    const { stdout } = error as { stdout?: unknown };
    return typeof stdout === 'string' ? (stdout.split('\n')[0] ?? '') : '';
  }
}

export const weirFile = resolve(process.env['WEIR_BIN'] ?? 'out/weir-linux-x64');

export function hasBrokerCommand(): boolean {
  if (!existsSync(weirFile)) return false;
  try {
    execFileSync(weirFile, ['broker', '--help'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** With `isDurable` it keeps sessions and retained messages on disk, which takes part in their cases only. */
function weir({ directory, weir: kind }: ContenderOptions, isDurable: boolean): Contender {
  const acl = join(directory, 'acl');
  writeFileSync(acl, aclText, { mode: 0o600 });
  const product = [weirFile, 'broker', '--allow-anonymous', '--log-level', 'error'];
  // In this tree the SQLite addon is built for the Node that runs this.
  const node = isDurable ? process.execPath : nodeFile();
  const program = kind === 'executable' ? product : [node, youngGeneration, 'out/host/broker-alone.mjs'];
  const command = [...program, '--acl-file', acl];
  const name = isDurable ? durable : ours;
  const version = kind === 'executable' ? firstLine(weirFile, ['version']) : firstLine(node, ['--version']);
  return {
    name,
    version: kind === 'executable' ? version : `from the sources on ${version}`,
    command: command.join(' '),
    ...(isDurable ? { sets: ['sessions', 'retained'] } : {}),
    async start() {
      const { certificate, key } = makeCertificate(directory);
      const [port, tlsPort] = [await freePort(), await freePort()];
      const listeners = ['--listen', `tcp://${host}:${port}`, '--listen', `tls://${host}:${tlsPort}`];
      const tls = ['--tls-cert', certificate, '--tls-key', key];
      const data = isDurable ? ['--data-dir', mkdtempSync(join(directory, 'data-'))] : [];
      return started(name, [...command, ...listeners, ...tls, ...data], { port, tlsPort });
    },
  };
}

function mosquitto({ directory }: ContenderOptions): Contender {
  const file = join(directory, 'mosquitto.conf');
  return {
    name: 'mosquitto',
    version: firstLine('mosquitto', ['-h']),
    command: `mosquitto -c ${file}`,
    async start() {
      const { certificate, key } = makeCertificate(directory);
      const [port, tlsPort] = [await freePort(), await freePort()];
      const lines = [
        'user root',
        'persistence false',
        'log_type none',
        'max_inflight_messages 0',
        'max_queued_messages 0',
        'set_tcp_nodelay true',
        `listener ${port} ${host}`,
        'allow_anonymous true',
        `listener ${tlsPort} ${host}`,
        'allow_anonymous true',
        `certfile ${certificate}`,
        `keyfile ${key}`,
      ];
      writeFileSync(file, `${lines.join('\n')}\n`);
      return started('mosquitto', ['mosquitto', '-c', file], { port, tlsPort });
    },
  };
}

function aedes({ directory }: ContenderOptions): Contender {
  const command = [nodeFile(), 'out/host/aedes-alone.mjs'];
  return {
    name: 'aedes',
    version: `${firstLine(process.execPath, ['-p', 'require("./node_modules/aedes/package.json").version'])} on ${firstLine(nodeFile(), ['--version'])}`,
    command: command.join(' '),
    async start() {
      const { certificate, key } = makeCertificate(directory);
      const [port, tlsPort] = [await freePort(), await freePort()];
      return started('aedes', [...command, String(port), String(tlsPort), certificate, key], { port, tlsPort });
    },
  };
}

/** The generator's own other side: what it reaches here is the most it can measure. */
export async function startSink(version: number): Promise<RunningBroker> {
  const port = await freePort();
  return started('sink', [generatorFile, '--mode', 'sink', '--port', String(port), '--version', String(version)], {
    port,
    tlsPort: undefined,
  });
}

export function contenders(options: ContenderOptions): readonly Contender[] {
  return [mosquitto(options), weir(options, false), weir(options, true), aedes(options)];
}
