// The store thread's loop: one request in, one reply out, in order.
//
// The sync of a commit goes on by itself while the thread takes the next request from the pipe; it is not worked on
// before that is over. So nothing ever happens between the write of a frame and its sync.
//
// Owns the translation between the pipe and the engine. An operating error becomes a failure reply; anything
// else is a bug and ends the thread, whose owner starts another: after that the file, not this memory, is true.

import { strict as assert } from 'node:assert';
import { assertNever } from '../model/assert-never.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { FileSystem } from '../platform/file-system.ts';
import type { LogFiles } from '../platform/log-files.ts';
import type { Sqlite } from '../platform/sqlite.ts';
import type { Pipe } from '../platform/thread.ts';
import { Engine } from './engine.ts';
import { StoreError } from './errors.ts';
import type { CommitSpec, FromThread, Opened, Request } from './thread-protocol.ts';

export interface ServePorts {
  readonly sqlite: Sqlite;
  readonly files: LogFiles;
  readonly fileSystem: FileSystem;
  readonly entropy: Entropy;
  /** At which a segment of the outbox is full; as limits.ts has it when absent. */
  readonly segmentBytes?: number | undefined;
}

/** Serves the store over `pipe`, from its first `open` until `close`. */
export function serveStore(pipe: Pipe, ports: ServePorts): void {
  const loop = new ThreadLoop(pipe, ports);
  pipe.onMessage((message) => loop.take(message as Request));
}

class ThreadLoop {
  readonly #pipe: Pipe;
  readonly #ports: ServePorts;
  #engine: Engine | undefined;
  readonly #requests: Request[] = [];
  /** A commit's sync is under way: everything else waits. */
  #syncing = false;
  /** The reply to a commit whose sync has ended, while the next commit is begun. */
  #reply: (() => void) | undefined;

  constructor(pipe: Pipe, ports: ServePorts) {
    this.#pipe = pipe;
    this.#ports = ports;
  }

  take(request: Request): void {
    this.#requests.push(request);
    this.#goOn();
  }

  #goOn(): void {
    while (!this.#syncing) {
      const request = this.#requests.shift();
      if (request === undefined) return;
      this.#serve(request);
    }
  }

  #serve(request: Request): void {
    const { id } = request;
    try {
      if (request.name === 'open') {
        assert(this.#engine === undefined, 'the store is opened once for each thread');
        const onRenewed = (opened: Opened): void => this.#send({ kind: 'notice', opened });
        const candidate = new Engine({ ...this.#ports, onRenewed }, request.body);
        const body = candidate.open();
        this.#engine = candidate;
        this.#send({ kind: 'reply', id, body });
        return;
      }
      const engine = this.#engine;
      assert(engine !== undefined, 'the store is open before it is used');
      if (request.name === 'commit') this.#commit(engine, id, request.body);
      else if (request.name === 'read') {
        const body = engine.read(request.body);
        this.#send({ kind: 'reply', id, body }, [body.bytes]);
      } else if (request.name === 'mqtt') {
        const body = engine.mqttPage(request.body.part, request.body.after);
        this.#send({ kind: 'reply', id, body }, [body.bytes]);
      } else this.#send({ kind: 'reply', id, body: answer(engine, request) });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      const { code, message: text, retryable } = error;
      this.#syncing = false;
      this.#send({ kind: 'failure', id, failure: { code, message: text, retryable } });
    }
  }

  #commit(engine: Engine, id: number, spec: CommitSpec): void {
    let isLater = false;
    this.#syncing = true;
    engine.commitLater(spec, (body) => {
      this.#syncing = false;
      const { entries, records } = body.spent;
      const reply = (): void => this.#send({ kind: 'reply', id, body }, [entries, records]);
      if (isLater) this.#answered(reply);
      else reply();
    });
    isLater = true;
  }

  /** A commit that waits is begun before the last one is answered: the disk has work while the answer goes out. */
  #answered(reply: () => void): void {
    this.#reply = reply;
    if (this.#requests[0]?.name === 'commit') this.#serve(this.#requests.shift() as Request);
    this.#flush();
    this.#goOn();
  }

  #flush(): void {
    const reply = this.#reply;
    this.#reply = undefined;
    reply?.();
  }

  #send(message: FromThread, transfer?: readonly ArrayBuffer[]): void {
    this.#flush();
    this.#pipe.post(message, transfer);
  }
}

function answer(engine: Engine, request: Exclude<Request, { name: 'open' | 'commit' | 'read' | 'mqtt' }>): unknown {
  switch (request.name) {
    case 'sweep':
      return engine.sweep(request.body.stamp);
    case 'lanes':
      return engine.lanes(request.body.stamp);
    case 'twins':
      return engine.twins();
    case 'state':
      return engine.state(request.body.key);
    case 'facts':
      return engine.facts();
    case 'alive':
      return null;
    case 'close':
      engine.close();
      return null;
    default:
      return assertNever(request, 'store request');
  }
}
