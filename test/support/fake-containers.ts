// A container engine of a test's own: its containers are entries in a map, and what they do is said by their image.
//
//   run            up, until it is ended            exit:N · signal:N · oom   up, then its end
//   cannot-start   never up                         unhealthy                 up, and not well; ends with 0 when asked to
//   held           up when release() says so        getting-ready             as run, ready when ready() says so
//
// It outlives the supervisors that use it, as an engine does. While `away` nothing can be asked of it.

import type { LaunchSpec, SupervisorPorts } from '../../src/supervisor/index.ts';

type Containers = NonNullable<SupervisorPorts['containers']>;
type Listener = Parameters<Containers['runner']>[1];
type Runner = ReturnType<Containers['runner']>;
type End = Parameters<Listener['ended']>[0];

interface Container {
  readonly startedAtMs: number;
  running: boolean;
  /** Of the supervisor that watches it now. */
  listener: Listener | undefined;
}

export class FakeContainers implements Containers {
  readonly containers = new Map<string, Container>();
  /** What was done, in order: `launch a`, `up a`, `terminate a`, `erase a`. */
  readonly done: string[] = [];
  away = false;
  readonly #held = new Map<string, () => void>();

  async known(): Promise<readonly string[]> {
    this.#reach();
    return [...this.containers.keys()];
  }

  readonly runner = (name: string, listener: Listener): Runner => ({
    find: async () => {
      this.#reach();
      const found = this.containers.get(name);
      if (found === undefined) return { kind: 'nothing' };
      found.listener = listener;
      return found.running
        ? { kind: 'running', state: { pid: null, startedAtMs: found.startedAtMs } }
        : { kind: 'ended', end: endOf({ code: 0 }) };
    },
    launch: (spec) => this.#launch(spec, listener),
    terminate: () => {
      this.done.push(`terminate ${name}`);
      queueMicrotask(() => this.end(name, { code: 0 }));
    },
    detach: async () => {
      const found = this.containers.get(name);
      if (found?.listener === listener) found.listener = undefined;
    },
    erase: async () => {
      this.#reach();
      this.done.push(`erase ${name}`);
      this.containers.delete(name);
    },
  });

  release(name: string): void {
    this.#held.get(name)?.();
  }

  ready(name: string): void {
    this.containers.get(name)?.listener?.health({ healthy: true, ready: true, text: '' });
  }

  end(name: string, changes: Partial<End>): void {
    const found = this.containers.get(name);
    if (found?.running !== true) return;
    found.running = false;
    found.listener?.ended(endOf(changes));
  }

  #launch({ name, container }: LaunchSpec, listener: Listener): void {
    this.done.push(`launch ${name}`);
    const [what = '', number = ''] = (container?.image ?? '').split(':');
    if (this.away || what === 'cannot-start') {
      queueMicrotask(() => listener.ended(endOf({ reason: 'start', message: 'could not be started: no' })));
      return;
    }
    const up = (): void => {
      this.containers.set(name, { startedAtMs: Date.now(), running: true, listener });
      this.done.push(`up ${name}`);
      listener.up({ pid: null, startedAtMs: Date.now(), imageHash: 'sha256:5' });
      if (what === 'exit') this.end(name, { code: Number(number), message: `exited with code ${number}` });
      if (what === 'signal') this.end(name, { signal: Number(number), reason: 'signal', message: 'killed' });
      if (what === 'oom') this.end(name, { signal: 9, reason: 'signal', message: 'killed', oomKilled: true });
      if (what === 'unhealthy') listener.health({ healthy: false, ready: false, text: 'has a cough' });
    };
    if (what !== 'held') {
      queueMicrotask(up);
      return;
    }
    listener.progress('pulling image: 40 %');
    this.#held.set(name, up);
  }

  #reach(): void {
    if (this.away) throw new Error('the engine is away');
  }
}

function endOf(changes: Partial<End>): End {
  return {
    pid: null,
    code: null,
    signal: null,
    reason: 'exit',
    message: 'ended',
    startedAtMs: Date.now(),
    endedAtMs: Date.now(),
    uptimeMs: 1,
    oomKilled: false,
    logDroppedBytes: 0,
    ...changes,
  };
}
