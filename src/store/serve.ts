// The store thread's loop: one request in, one reply out, in order.
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
import type { FromThread, Opened, Request } from './thread-protocol.ts';

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
  const send = (message: FromThread, transfer?: readonly ArrayBuffer[]): void => pipe.post(message, transfer);
  const onRenewed = (opened: Opened): void => send({ kind: 'notice', opened });
  let engine: Engine | undefined;

  pipe.onMessage((message) => {
    const request = message as Request;
    const { id } = request;
    try {
      if (request.name === 'open') {
        assert(engine === undefined, 'the store is opened once for each thread');
        const candidate = new Engine({ ...ports, onRenewed }, request.body);
        const body = candidate.open();
        engine = candidate;
        send({ kind: 'reply', id, body });
        return;
      }
      assert(engine !== undefined, 'the store is open before it is used');
      if (request.name === 'read') {
        const body = engine.read(request.body);
        send({ kind: 'reply', id, body }, [body.bytes]);
        return;
      }
      if (request.name === 'commit') {
        const body = engine.commit(request.body);
        const { entries, records } = body.spent;
        send({ kind: 'reply', id, body }, [entries, records]);
        return;
      }
      if (request.name === 'mqtt') {
        const body = engine.mqttPage(request.body.part, request.body.after);
        send({ kind: 'reply', id, body }, [body.bytes]);
        return;
      }
      send({ kind: 'reply', id, body: answer(engine, request) });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      const { code, message: text, retryable } = error;
      send({ kind: 'failure', id, failure: { code, message: text, retryable } });
    }
  });
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
