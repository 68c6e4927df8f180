// A container engine of the tests' own: Docker's API on a unix socket, as far as weir uses it. A container is a process
// of this machine with a directory of its own in the place of /tmp; its output is stamped to the nanosecond and framed,
// as Docker does it. Stopping the service leaves the processes running.

import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { wholeTree } from './removal.ts';

interface Body {
  readonly Image: string;
  readonly Cmd?: readonly string[];
  readonly Env?: readonly string[];
  readonly Labels: Record<string, string>;
  readonly Healthcheck?: { readonly Test: readonly string[]; readonly Interval: number; readonly Retries: number };
}

interface Line {
  readonly second: number;
  readonly frame: Buffer;
}

interface Container {
  readonly id: string;
  readonly name: string;
  readonly body: Body;
  readonly directory: string;
  status: 'created' | 'running' | 'exited';
  exitCode: number;
  startedAt: string;
  finishedAt: string;
  child: ChildProcess | undefined;
  readonly log: Line[];
  readonly followers: Set<(line: Line | undefined) => void>;
  readonly waiters: Set<() => void>;
  health: { Status: string; FailingStreak: number; Log: { Output: string; End: string }[] } | undefined;
  checks: NodeJS.Timeout | undefined;
}

const never = '0001-01-01T00:00:00Z';
const headerBytes = 8;
const stamped = (ms: number): string => new Date(ms).toISOString().replace('Z', '000000Z');

export class FakeEngine {
  readonly directory = mkdtempSync(join(tmpdir(), 'weir-fake-engine-'));
  readonly registry = 'registry.test:5000';
  readonly containers = new Map<string, Container>();
  /** On the engine: reference → id. */
  readonly images = new Map<string, string>();
  /** References that cannot be removed. */
  readonly stuckImages = new Set<string>();
  /** The list of containers is no list. */
  isGarbled = false;
  /** Every request, `GET /v1.41/…` without the query. */
  readonly requests: string[] = [];
  /** In the registry. */
  readonly #published = new Map<string, string>();
  readonly #networks = new Set<string>();
  #registryUp = true;
  #server: Server | undefined;

  get socket(): string {
    return join(this.directory, 'engine.sock');
  }

  async start(): Promise<void> {
    rmSync(this.socket, { force: true });
    const server = createServer((request, response) => {
      response.on('error', () => undefined);
      this.#answer(request, response).catch((error: unknown) => say(response, 500, { message: String(error) }));
    });
    await new Promise<void>((resolve) => server.listen(this.socket, resolve));
    this.#server = server;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
    rmSync(this.socket, { force: true });
  }

  publish(repository: string): string {
    const reference = `${this.registry}/${repository}`;
    this.#published.set(reference, `sha256:${createHash('sha256').update(reference).digest('hex')}`);
    return reference;
  }

  stopRegistry(): void {
    this.#registryUp = false;
  }

  remove(name: string): void {
    const found = [...this.containers.values()].find((container) => container.name === name);
    if (found !== undefined) this.#remove(found);
  }

  async close(): Promise<void> {
    for (const container of [...this.containers.values()]) this.#remove(container);
    await this.stop();
    rmSync(this.directory, wholeTree);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://engine');
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const path = url.pathname.replace(/^\/v1\.\d+/, '');
    this.requests.push(`${request.method} ${url.pathname}`);
    if (path === '/version')
      return say(response, 200, { ApiVersion: '1.47', MinAPIVersion: '1.24', Version: '27.0.1' });
    if (path === '/_ping') return say(response, 200);
    if (path === '/info') return say(response, 200, { DockerRootDir: this.directory });
    if (path.startsWith('/networks')) return this.#network(path, { text, response });
    if (path === '/images/create') return this.#pull(url.searchParams, response);
    if (path.startsWith('/images/')) return this.#image(request.method ?? '', { path, response });
    if (path === '/containers/json') return this.#list(url.searchParams, response);
    if (path === '/containers/create')
      return this.#create(url.searchParams, { body: JSON.parse(text) as Body, response });
    const [, id = '', verb = ''] = /^\/containers\/([^/]+)\/?(\w*)$/.exec(path) ?? [];
    const container = this.containers.get(id);
    if (container === undefined) return say(response, 404, { message: `No such container: ${id}` });
    if (request.method === 'DELETE') {
      this.#remove(container);
      return say(response, 204);
    }
    this.#verb(container, { verb, query: url.searchParams, response });
  }

  #verb(
    container: Container,
    {
      verb,
      query,
      response,
    }: { readonly verb: string; readonly query: URLSearchParams; readonly response: ServerResponse },
  ) {
    if (verb === 'json') say(response, 200, this.#inspect(container));
    else if (verb === 'start') this.#begin(container, response);
    else if (verb === 'kill') this.#end(container, { signal: 'SIGKILL', response });
    else if (verb === 'wait') whenEnded(container, () => say(response, 200, { StatusCode: container.exitCode }));
    else if (verb === 'logs') sendLog(container, query, response);
    else if (verb === 'stop') {
      const kill = setTimeout(() => signalGroup(container, 'SIGKILL'), Number(query.get('t')) * 1000);
      whenEnded(container, () => clearTimeout(kill));
      this.#end(container, { signal: 'SIGTERM', response });
    } else say(response, 404, { message: 'page not found' });
  }

  #network(path: string, { text, response }: { readonly text: string; readonly response: ServerResponse }) {
    if (path === '/networks/create') {
      const { Name } = JSON.parse(text) as { readonly Name: string };
      this.#networks.add(Name);
      return say(response, 201, { Id: Name });
    }
    const name = path.slice('/networks/'.length);
    if (!this.#networks.has(name)) return say(response, 404, { message: `network ${name} not found` });
    say(response, 200, { Name: name, IPAM: { Config: [{ Gateway: '172.30.0.1' }] } });
  }

  #pull(query: URLSearchParams, response: ServerResponse) {
    const tag = query.get('tag') ?? 'latest';
    const reference = `${query.get('fromImage')}${tag.startsWith('sha256:') ? '@' : ':'}${tag}`;
    if (!reference.startsWith(this.registry)) return; // A registry that hangs: nothing is ever said.
    if (!this.#registryUp)
      return say(response, 500, { message: `Get "http://${this.registry}/v2/": dial tcp: connection refused` });
    const id = this.#published.get(reference);
    if (id === undefined)
      return say(response, 404, { message: `manifest for ${reference} not found: manifest unknown` });
    this.images.set(reference, id);
    response.writeHead(200, { 'content-type': 'application/json' });
    const tell = (line: object): void => void response.write(`${JSON.stringify(line)}\r\n`);
    tell({ status: 'Pulling from box', id: tag });
    tell({ status: 'Downloading', progressDetail: { current: 400, total: 1000 }, id: 'layer1' });
    tell({ status: 'Pull complete', progressDetail: {}, id: 'layer1' });
    response.end(JSON.stringify({ status: `Status: Downloaded newer image for ${reference}` }));
  }

  #image(method: string, { path, response }: { readonly path: string; readonly response: ServerResponse }) {
    const reference = path.slice('/images/'.length).replace(/\/json$/, '');
    const id = this.images.get(reference);
    if (id === undefined) return say(response, 404, { message: `No such image: ${reference}` });
    if (method === 'GET') return say(response, 200, { Id: id, Architecture: 'amd64', Os: 'linux' });
    if ([...this.containers.values()].some(({ body }) => body.Image === reference))
      return say(response, 409, { message: 'conflict: unable to remove repository reference: container is using it' });
    if (this.stuckImages.has(reference)) return say(response, 500, { message: 'layer is in use' });
    this.images.delete(reference);
    say(response, 200, [{ Untagged: reference }]);
  }

  #list(query: URLSearchParams, response: ServerResponse) {
    const { label } = JSON.parse(query.get('filters') ?? '{"label":[]}') as { readonly label: readonly string[] };
    const found = [...this.containers.values()].filter(({ body }) =>
      label.every((wanted) => body.Labels[wanted.split('=', 1)[0] ?? ''] === wanted.slice(wanted.indexOf('=') + 1)),
    );
    if (this.isGarbled) return say(response, 200, { message: 'be back soon' });
    say(
      response,
      200,
      found.map(({ id, name, status, body }) => ({ Id: id, Names: [`/${name}`], State: status, Labels: body.Labels })),
    );
  }

  #create(query: URLSearchParams, { body, response }: { readonly body: Body; readonly response: ServerResponse }) {
    const name = query.get('name') ?? '';
    if ([...this.containers.values()].some((container) => container.name === name))
      return say(response, 409, { message: `Conflict. The container name "/${name}" is already in use` });
    if (!this.images.has(body.Image)) return say(response, 404, { message: `No such image: ${body.Image}` });
    const id = randomBytes(32).toString('hex');
    const directory = join(this.directory, id.slice(0, 12));
    mkdirSync(directory);
    this.containers.set(id, {
      id,
      name,
      body,
      directory,
      status: 'created',
      exitCode: 0,
      startedAt: never,
      finishedAt: never,
      child: undefined,
      log: [],
      followers: new Set(),
      waiters: new Set(),
      health: undefined,
      checks: undefined,
    });
    say(response, 201, { Id: id, Warnings: [] });
  }

  #begin(container: Container, response: ServerResponse) {
    if (container.status === 'running') return say(response, 304);
    const [file = '', ...args] = command(container, container.body.Cmd ?? []);
    const env = Object.fromEntries(
      (container.body.Env ?? []).map((text) => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)]),
    );
    const child = spawn(file, args, {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'] ?? '', ...env },
    });
    child.once('error', (error) =>
      say(response, 400, {
        message: `failed to create task: exec: "${file}": ${error.message}: no such file or directory`,
      }),
    );
    child.once('spawn', () => {
      container.child = child;
      container.status = 'running';
      container.startedAt = stamped(Date.now());
      container.finishedAt = never;
      for (const [stream, pipe] of [
        [1, child.stdout],
        [2, child.stderr],
      ] as const)
        keepLog(container, { stream, pipe });
      if (container.body.Healthcheck !== undefined) runChecks(container);
      say(response, 204);
    });
    child.once('close', (code, signal) => {
      if (container.child !== child) return;
      clearInterval(container.checks);
      container.status = 'exited';
      container.exitCode = code ?? 128 + (signal === 'SIGKILL' ? 9 : 15);
      container.finishedAt = stamped(Date.now());
      for (const follower of container.followers) follower(undefined);
      for (const waiter of container.waiters) waiter();
      container.waiters.clear();
    });
  }

  #end(
    container: Container,
    { signal, response }: { readonly signal: 'SIGTERM' | 'SIGKILL'; readonly response: ServerResponse },
  ) {
    if (container.status !== 'running') return say(response, signal === 'SIGTERM' ? 304 : 409);
    if (signal === 'SIGTERM') container.child?.kill('SIGTERM');
    else signalGroup(container, 'SIGKILL');
    whenEnded(container, () => say(response, 204));
  }

  #remove(container: Container) {
    clearInterval(container.checks);
    signalGroup(container, 'SIGKILL');
    this.containers.delete(container.id);
    whenEnded(container, () => rmSync(container.directory, wholeTree));
  }

  #inspect({ id, body, status, child, exitCode, startedAt, finishedAt, health }: Container): object {
    return {
      Id: id,
      Image: this.images.get(body.Image) ?? '',
      State: {
        Status: status,
        Pid: status === 'running' ? child?.pid : 0,
        ExitCode: exitCode,
        OOMKilled: false,
        StartedAt: startedAt,
        FinishedAt: finishedAt,
        ...(health === undefined ? {} : { Health: health }),
      },
      Config: {
        Labels: body.Labels,
        Tty: false,
        ...(body.Healthcheck === undefined ? {} : { Healthcheck: body.Healthcheck }),
      },
    };
  }
}

function say(response: ServerResponse, status: number, value?: object): void {
  if (response.headersSent) return;
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(value === undefined ? '' : JSON.stringify(value));
}

function command({ directory }: Container, words: readonly string[]): readonly string[] {
  return words.map((word) => word.replaceAll('/tmp/', `${directory}/`));
}

function whenEnded(container: Container, then: () => void): void {
  if (container.status === 'running') container.waiters.add(then);
  else then();
}

function signalGroup({ child, status }: Container, signal: NodeJS.Signals): void {
  if (status !== 'running' || child?.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It has just ended.
  }
}

function keepLog(
  container: Container,
  { stream, pipe }: { readonly stream: number; readonly pipe: NodeJS.ReadableStream },
): void {
  let rest = '';
  pipe.setEncoding('utf8');
  pipe.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const nowMs = Date.now();
      const payload = Buffer.from(`${stamped(nowMs)} ${line}\n`);
      const header = Buffer.alloc(headerBytes);
      header[0] = stream;
      header.writeUInt32BE(payload.length, 4);
      const kept = { second: Math.floor(nowMs / 1000), frame: Buffer.concat([header, payload]) };
      container.log.push(kept);
      for (const follower of container.followers) follower(kept);
    }
  });
}

function sendLog(container: Container, query: URLSearchParams, response: ServerResponse) {
  const since = Number(query.get('since') ?? 0);
  response.writeHead(200, { 'content-type': 'application/vnd.docker.multiplexed-stream' });
  response.flushHeaders();
  for (const { second, frame } of container.log) if (second >= since) response.write(frame);
  if (query.get('follow') !== '1' || container.status !== 'running') return void response.end();
  const follower = (line: Line | undefined): void => {
    if (line === undefined) response.end();
    else response.write(line.frame);
  };
  container.followers.add(follower);
  response.on('close', () => container.followers.delete(follower));
}

function runChecks(container: Container): void {
  const { Test = [], Interval = 1e9, Retries = 3 } = container.body.Healthcheck ?? {};
  const [, file = '', ...args] = command(container, Test);
  const health = { Status: 'starting', FailingStreak: 0, Log: [] as { Output: string; End: string }[] };
  container.health = health;
  container.checks = setInterval(() => {
    const check = spawn(file, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    let output = '';
    check.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    check.once('close', (code) => {
      health.FailingStreak = code === 0 ? 0 : health.FailingStreak + 1;
      if (code === 0) health.Status = 'healthy';
      else if (health.FailingStreak >= Retries) health.Status = 'unhealthy';
      health.Log = [{ Output: output, End: stamped(Date.now()) }];
    });
  }, Interval / 1e6);
}
