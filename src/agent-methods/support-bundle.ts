// What somebody far away needs to find out what is wrong, as one ZIP archive.
//
//   status.json, config.json …       documents of the runtime; secrets are masked by who makes them
//   logs/edgeAgent_log.txt           the runtime's own log, as far as it is remembered
//   logs/modbus_log.txt              every module's, with the stamps of the shim, also of those a rollback has removed
//
// Written while it is read: memory is one piece of a log. A log that cannot be read says so in its place.

import { errorMessage } from '../model/errors.ts';
import { moduleFileName } from '../model/module-file-name.ts';
import type { Clock } from '../platform/clock.ts';
import type { LogWindow, MethodLogs, MethodModules, SupportFacts } from './ports.ts';
import { type ZipEntry, zipped } from './zip.ts';

export interface SupportBundlePorts {
  readonly clock: Clock;
  readonly modules: Pick<MethodModules, 'list'>;
  readonly logs: MethodLogs;
  readonly support: SupportFacts;
}

export interface SupportBundleOptions {
  readonly window: LogWindow;
  /** Leaves the modules' logs out. */
  readonly runtimeOnly: boolean;
  readonly signal: AbortSignal;
}

const indent = 2;

/** The bytes of the archive. */
export function supportBundle(ports: SupportBundlePorts, options: SupportBundleOptions): AsyncIterable<Buffer> {
  return zipped(entries(ports, options));
}

async function* entries(
  { clock, modules, logs, support }: SupportBundlePorts,
  { window, runtimeOnly, signal }: SupportBundleOptions,
): AsyncIterable<ZipEntry> {
  const modifiedMs = clock.wallMs();
  for (const [name, value] of Object.entries(await support.documents()))
    yield { name, modifiedMs, content: once(`${JSON.stringify(value, null, indent)}\n`) };
  const own = logs.own().map((line) => `${line}\n`);
  yield { name: 'logs/edgeAgent_log.txt', modifiedMs, content: once(own.join('')) };
  if (runtimeOnly) return;
  for (const name of new Set([...modules.list().map(({ name }) => name), ...(await logs.names())])) {
    if (signal.aborted) return;
    const pieces = logs.ofModule({ name, ...window, signal });
    yield { name: `logs/${moduleFileName(name) ?? 'module'}_log.txt`, modifiedMs, content: readable(pieces) };
  }
}

async function* once(text: string): AsyncIterable<Buffer> {
  yield Buffer.from(text);
}

async function* readable(pieces: AsyncIterable<string>): AsyncIterable<Buffer> {
  try {
    for await (const piece of pieces) yield Buffer.from(piece);
  } catch (error) {
    yield Buffer.from(`This log cannot be read: ${errorMessage(error)}\n`);
  }
}
