// The service manager that started this process, as a parameter: systemd, or whoever else speaks sd_notify(3).
//
//   READY=1        it serves           RELOADING=1, MONOTONIC_USEC=n   it reads its files anew; READY=1 ends that
//   STOPPING=1     it is ending        STATUS=text                     one line for people (systemctl status)
//   WATCHDOG=1     it is alive         EXTEND_TIMEOUT_USEC=n           starting or stopping takes its time
//
// Each is a line of a datagram to NOTIFY_SOCKET, which Node cannot send: native/host does. Nobody waits for it and
// nothing depends on it: what cannot be told is logged once, and the next thing is told again. Whether to feed the
// watchdog is decided elsewhere (watchdog.ts).
//
// From the environment: NOTIFY_SOCKET; WATCHDOG_USEC, unless WATCHDOG_PID names another process.

import { errorMessage } from '../model/errors.ts';
import type { Log } from './log.ts';
import { nativeAddon } from './native.ts';

export interface InitSystem {
  /** Without a WATCHDOG=1 for so long this process is ended; undefined: nobody waits for one. */
  readonly watchdogMs: number | undefined;
  ready(status: string): void;
  status(text: string): void;
  alive(): void;
  reloading(monotonicMs: number): void;
  stopping(): void;
}

interface HostAddon {
  notifySend(path: string, text: string): void;
}

export interface InitSystemOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly log: Log;
  /** The host addon's, when absent. */
  readonly send?: ((path: string, text: string) => void) | undefined;
}

const usPerMs = 1000;
/** A line of a person's terminal or two; systemd shows no more in any case. */
const statusCharactersMax = 240;

/** Undefined when nobody wants to be told. */
export function systemInit({ env, pid, log, send }: InitSystemOptions): InitSystem | undefined {
  const path = env['NOTIFY_SOCKET'];
  if (path === undefined || !/^[/@]/.test(path)) return undefined;
  const post = send ?? ((to: string, text: string) => (nativeAddon('host') as HostAddon).notifySend(to, text));
  let isTold = false;
  const tell = (...lines: readonly string[]): void => {
    try {
      post(path, lines.join('\n'));
      isTold = false;
    } catch (error) {
      if (!isTold) log.warn('the service manager cannot be told', { lines: lines[0], reason: errorMessage(error) });
      isTold = true;
    }
  };
  return {
    watchdogMs: watchdogMs(env, pid),
    ready: (text) => tell('READY=1', statusLine(text)),
    status: (text) => tell(statusLine(text)),
    alive: () => tell('WATCHDOG=1'),
    reloading: (monotonicMs) => tell('RELOADING=1', `MONOTONIC_USEC=${Math.round(monotonicMs * usPerMs)}`),
    stopping: () => tell('STOPPING=1', statusLine('ending; modules go on')),
  };
}

function watchdogMs(env: Readonly<Record<string, string | undefined>>, pid: number): number | undefined {
  const forPid = env['WATCHDOG_PID'];
  if (forPid !== undefined && forPid !== String(pid)) return undefined;
  const periodMs = Number(env['WATCHDOG_USEC']) / usPerMs;
  return Number.isFinite(periodMs) && periodMs > 0 ? periodMs : undefined;
}

function statusLine(text: string): string {
  return `STATUS=${text.replaceAll(/\s+/g, ' ').slice(0, statusCharactersMax)}`;
}
