// Work that a direct method begins and another one asks after: GetTaskStatus by correlation id.
//
//   run() ─► Running ─► Completed
//               └─────► Failed (its error, or its time is over)          not known, or forgotten: Unknown
//
// Bounded: `agentTasksRunningMax` at a time (policy when full: the newcomer is refused with the reason), of those that
// ended the latest `agentTasksKeptMax`. A task has `agentTaskMsMax`; closing ends all of them.

import { agentTaskMsMax, agentTasksKeptMax, agentTasksRunningMax } from '../limits.ts';
import { errorCode, errorMessage } from '../model/errors.ts';
import type { Clock } from '../platform/clock.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Log } from '../platform/log.ts';
import { AgentMethodError } from './errors.ts';

export type TaskState = 'Running' | 'Completed' | 'Failed' | 'Unknown';

/** As Azure's agent answers it. */
export type TaskStatus = {
  readonly status: TaskState;
  readonly message: string;
  readonly correlationId: string;
};

export interface TaskTablePorts {
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly log: Log;
}

export class TaskTable {
  readonly #ports: TaskTablePorts;
  /** Oldest first. */
  readonly #statuses = new Map<string, TaskStatus>();
  readonly #running = new Map<string, { readonly stop: AbortController; readonly done: Promise<void> }>();

  constructor(ports: TaskTablePorts) {
    this.#ports = ports;
  }

  /** Begins and returns at once. Throws AGENT_METHODS_BUSY. */
  run(operation: string, work: (signal: AbortSignal) => Promise<void>): TaskStatus {
    if (this.#running.size >= agentTasksRunningMax) {
      throw new AgentMethodError(
        'AGENT_METHODS_BUSY',
        `${agentTasksRunningMax} uploads are running already. Ask for their status and try again when one has ended.`,
      );
    }
    const correlationId = this.#ports.entropy.uuid();
    const stop = new AbortController();
    const status = this.#note({ status: 'Running', message: '', correlationId });
    const done = this.#carryOut({ operation, work, correlationId, stop });
    this.#running.set(correlationId, { stop, done });
    return status;
  }

  status(correlationId: string): TaskStatus {
    return this.#statuses.get(correlationId) ?? { status: 'Unknown', message: '', correlationId };
  }

  /** Ends what runs. */
  async close(): Promise<void> {
    const running = [...this.#running.values()];
    for (const { stop } of running) stop.abort();
    await Promise.all(running.map(({ done }) => done));
  }

  async #carryOut(task: {
    readonly operation: string;
    readonly work: (signal: AbortSignal) => Promise<void>;
    readonly correlationId: string;
    readonly stop: AbortController;
  }): Promise<void> {
    const { operation, work, correlationId, stop } = task;
    const { clock, log } = this.#ports;
    let isLate = false;
    const timer = clock.setTimer(agentTaskMsMax, () => {
      isLate = true;
      stop.abort();
    });
    try {
      await work(stop.signal);
      this.#note({ status: 'Completed', message: '', correlationId });
      log.info('a task is done', { operation, correlationId });
    } catch (error) {
      const reason = isLate
        ? new AgentMethodError('AGENT_METHODS_TIMED_OUT', `it took longer than ${agentTaskMsMax} ms.`)
        : error;
      const message = `Task ${operation} failed because of error ${errorMessage(reason)}`;
      this.#note({ status: 'Failed', message, correlationId });
      log.warn('a task failed', { operation, correlationId, code: errorCode(reason), reason: errorMessage(reason) });
    } finally {
      timer.cancel();
      this.#running.delete(correlationId);
    }
  }

  #note(status: TaskStatus): TaskStatus {
    this.#statuses.delete(status.correlationId);
    this.#statuses.set(status.correlationId, status);
    for (const [id, { status: state }] of this.#statuses) {
      if (this.#statuses.size <= agentTasksKeptMax) break;
      if (state !== 'Running') this.#statuses.delete(id);
    }
    return status;
  }
}
