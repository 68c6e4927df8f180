// Programs with Microsoft's clients (programs/puppet.mjs), told by the test what to do. Some are started by the test,
// some by the gateway as its modules; all of them come to this server.

import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Program, until } from '../support/world/program.ts';
import { readyMs } from '../support/world/world.ts';

export interface PuppetEvent {
  readonly event: string;
  readonly [name: string]: unknown;
}

export class Puppet {
  readonly #socket: Socket;
  readonly #events: PuppetEvent[] = [];
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #id = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Rejects with the client's own error; `name` and `body` are what it said. */
  do(command: string, parameters: object = {}): Promise<unknown> {
    this.#id += 1;
    const id = this.#id;
    this.#socket.write(`${JSON.stringify({ id, do: command, ...parameters })}\n`);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  /** The next event of the kind, also one that came before the question. */
  next(kind: string, timeoutMs = readyMs): Promise<PuppetEvent> {
    return until(`an event '${kind}'`, timeoutMs, () => {
      const index = this.#events.findIndex(({ event }) => event === kind);
      return index === -1 ? undefined : this.#events.splice(index, 1)[0];
    });
  }

  count(kind: string): number {
    return this.#events.filter(({ event }) => event === kind).length;
  }

  heard(line: {
    readonly id?: number;
    readonly ok?: boolean;
    readonly value?: unknown;
    readonly error?: object;
  }): void {
    const waiter = line.id === undefined ? undefined : this.#waiting.get(line.id);
    if (waiter === undefined) {
      this.#events.push(line as unknown as PuppetEvent);
      return;
    }
    this.#waiting.delete(line.id ?? 0);
    if (line.ok === true) waiter.resolve(line.value);
    else waiter.reject(Object.assign(new Error('the client said no'), line.error));
  }

  gone(): void {
    for (const { reject } of this.#waiting.values()) reject(new Error('the program ended'));
    this.#waiting.clear();
  }
}

export const puppetProgram = join(process.cwd(), 'test/sdk/programs/puppet.mjs');

export class Puppets {
  readonly #server: Server;
  readonly #byName = new Map<string, Puppet>();
  readonly #programs: Program[] = [];
  readonly #sockets = new Set<Socket>();
  #port = 0;

  constructor() {
    this.#server = createServer((socket) => this.#welcome(socket));
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const address = this.#server.address();
    this.#port = typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** What a module's program needs to come here. */
  environment(name: string, transport: 'mqtt' | 'mqtt-ws' = 'mqtt'): Readonly<Record<string, string>> {
    return { PUPPET_PORT: String(this.#port), PUPPET_NAME: name, PUPPET_TRANSPORT: transport };
  }

  /** Starts a device's program. */
  async device(
    name: string,
    options: { readonly connection: string; readonly ca: string; readonly transport?: 'mqtt' | 'mqtt-ws' },
  ): Promise<Puppet> {
    const env = {
      ...this.environment(name, options.transport),
      PUPPET_CONNECTION: options.connection,
      PUPPET_CA: options.ca,
    };
    this.#programs.push(new Program([process.execPath, puppetProgram], env));
    return this.here(name);
  }

  /** The program of that name, once it is here. */
  here(name: string): Promise<Puppet> {
    return until(`${name} is here`, readyMs, () => this.#byName.get(name));
  }

  async close(): Promise<void> {
    for (const program of this.#programs) await program.end('SIGKILL');
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #welcome(socket: Socket): void {
    const puppet = new Puppet(socket);
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#sockets.delete(socket);
      puppet.gone();
    });
    createInterface({ input: socket }).on('line', (text) => {
      const line = JSON.parse(text) as PuppetEvent & { readonly id?: number; readonly ok?: boolean };
      if (line.event === 'hello') this.#byName.set(String(line['name']), puppet);
      else puppet.heard(line);
    });
  }
}
