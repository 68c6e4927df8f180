// What every command is given: the machine as parameters, the terminal, and the place for its exit code.
//
// Constructed once by main.ts from the real machine, by tests from fakes. Only light parts are in it; what is
// heavy (the broker, SQLite, cryptography) is imported by the handler that needs it, when it needs it, so that
// `weir version` and a module's process never pay for it.

import type { AdminClient } from '../admin/index.ts';
import { type Clock, systemClock } from '../platform/clock.ts';
import { type Disk, systemDisk } from '../platform/disk.ts';
import { type Http, systemHttp } from '../platform/http.ts';
import { type Processes, systemProcesses } from '../platform/process.ts';
import { type Keyboard, systemKeyboard } from './keyboard.ts';
import { systemTerminal, type Terminal } from './terminal.ts';

export type ExitCode = 0 | 1 | 2;

export interface CliContext {
  readonly terminal: Terminal;
  readonly keyboard: Keyboard;
  readonly clock: Clock;
  readonly disk: Disk;
  readonly http: Http;
  readonly processes: Processes;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Calls back at SIGINT or SIGTERM, every time; the process then ends when the handler is done. */
  onStop(listener: () => void): void;
  /** Calls back at SIGHUP, which then does not end the process. */
  onReload(listener: () => void): void;
  /** Mutable on purpose: the one thing a handler leaves behind. 78 (EX_CONFIG) is a module's "do not restart me". */
  readonly exit: { code: number };
}

/** The options that every command takes. */
export interface GlobalOptions {
  readonly config: string | undefined;
  readonly dataDir: string | undefined;
  readonly runDir: string | undefined;
}

export function systemContext(): CliContext {
  const env = process.env;
  return {
    terminal: systemTerminal(env),
    keyboard: systemKeyboard(),
    clock: systemClock(),
    disk: systemDisk(),
    http: systemHttp(),
    processes: systemProcesses(),
    env,
    onStop(listener) {
      process.on('SIGINT', listener);
      process.on('SIGTERM', listener);
    },
    onReload(listener) {
      process.on('SIGHUP', listener);
    },
    exit: { code: 0 },
  };
}

/** Where the options and the file say that data and sockets are. */
export async function locateDirectories(
  context: CliContext,
  options: GlobalOptions,
): Promise<{ readonly dataDir: string; readonly runDir: string }> {
  if (options.dataDir !== undefined && options.runDir !== undefined)
    return { dataDir: options.dataDir, runDir: options.runDir };
  const { locate } = await import('../config/index.ts');
  return locate({ configPath: options.config, dataDir: options.dataDir, runDir: options.runDir, disk: context.disk });
}

/** The client of the daemon that these options mean. */
export async function adminClient(context: CliContext, options: GlobalOptions): Promise<AdminClient> {
  const { AdminClient } = await import('../admin/index.ts');
  return new AdminClient(context.http, (await locateDirectories(context, options)).runDir);
}

export function writeJson(context: CliContext, value: unknown): Promise<void> {
  const indent = 2;
  return context.terminal.write(`${JSON.stringify(value, null, indent)}\n`);
}
