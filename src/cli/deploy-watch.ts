// Follows a deployment until it is in force, was rolled back, cannot be had, or patience ends.
//
//   settled, nothing wrong ─► ok        rolled-back ─► failed with the reason
//   a failure that stays for failureMs ─► failed; the gateway itself goes on trying
//
// A line is told when a phase or a module's text changes, numbers that only count on no more often than countMs.

import type { AdminClient } from '../admin/index.ts';
import { errorCode } from '../model/errors.ts';
import { pause } from '../model/pause.ts';
import type { CliContext } from './context.ts';

type Progress = Awaited<ReturnType<AdminClient['deployment']>>;

export interface DeployOutcome {
  readonly ok: boolean;
  readonly text: string;
  readonly progress: Progress | undefined;
}

export interface DeployWatchOptions {
  readonly timeoutMs: number;
  readonly tell: (line: string) => Promise<void>;
}

const lookMs = 250;
const countMs = 3_000;
const failureMs = 2_000;
const codeFailed = 500;

const phaseWords: Readonly<Record<Progress['phase'], string>> = {
  preparing: 'preparing',
  applying: 'applying',
  verifying: 'verifying',
  settled: 'in force',
  'rolled-back': 'rolled back',
};

export class DeployWatch {
  readonly #context: CliContext;
  readonly #client: AdminClient;
  readonly #options: DeployWatchOptions;
  readonly #told = new Map<string, { readonly text: string; readonly atMs: number }>();
  #failingSinceMs: number | undefined;

  constructor(context: CliContext, client: AdminClient, options: DeployWatchOptions) {
    this.#context = context;
    this.#client = client;
    this.#options = options;
  }

  async outcome(): Promise<DeployOutcome> {
    const { clock } = this.#context;
    const stop = new AbortController();
    this.#context.onStop(() => stop.abort());
    const endMs = clock.monotonicMs() + this.#options.timeoutMs;
    let progress: Progress | undefined;
    while (!stop.signal.aborted) {
      progress = (await this.#ask()) ?? progress;
      if (progress !== undefined) {
        const outcome = this.#judge(progress);
        if (outcome !== undefined) return outcome;
        await this.#tellNews(progress);
      }
      if (clock.monotonicMs() >= endMs) {
        const phase = progress === undefined ? 'not known' : phaseWords[progress.phase];
        return { ok: false, text: `Still ${phase}; the gateway goes on. See: weir status`, progress };
      }
      await pause(clock, lookMs, stop.signal);
    }
    return { ok: false, text: 'No longer watched; the gateway goes on. See: weir status', progress };
  }

  /** Undefined while the runtime is restarted: that happens to deployments, too. */
  async #ask(): Promise<Progress | undefined> {
    try {
      return await this.#client.deployment();
    } catch (error) {
      if (errorCode(error) === 'ADMIN_NOT_RUNNING') return undefined;
      throw error;
    }
  }

  #judge(progress: Progress): DeployOutcome | undefined {
    const { phase, detail, status } = progress;
    if (phase === 'rolled-back')
      return { ok: false, text: `Rolled back: ${detail}\nWhat its modules wrote: weir logs NAME`, progress };
    if (status.code !== codeFailed) {
      this.#failingSinceMs = undefined;
      return phase === 'settled' ? { ok: true, text: 'The deployment is in force.', progress } : undefined;
    }
    const nowMs = this.#context.clock.monotonicMs();
    this.#failingSinceMs ??= nowMs;
    if (nowMs - this.#failingSinceMs < failureMs) return undefined;
    return { ok: false, text: `Not in force: ${status.description}`, progress };
  }

  async #tellNews({ phase, detail, modules }: Progress): Promise<void> {
    await this.#tell('', `${phaseWords[phase]}${detail === '' ? '' : `: ${detail}`}`);
    for (const { name, text } of modules) await this.#tell(name, text);
  }

  async #tell(name: string, text: string): Promise<void> {
    const nowMs = this.#context.clock.monotonicMs();
    const before = this.#told.get(name);
    if (before?.text === text) return;
    const onlyCounts = before !== undefined && withoutNumbers(before.text) === withoutNumbers(text);
    if (onlyCounts && nowMs - before.atMs < countMs) return;
    this.#told.set(name, { text, atMs: nowMs });
    await this.#options.tell(name === '' ? `${text}\n` : `  ${name}: ${text}\n`);
  }
}

function withoutNumbers(text: string): string {
  return text.replace(/\d+([.,]\d+)?/g, '#');
}
