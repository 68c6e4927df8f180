// Copies of damaged segments, for whoever wants to know what happened.
//
// A copy, not the file: the log goes on with what is readable in it. At most storeQuarantineFilesMax copies are
// kept, the latest ones. Best effort: a full or broken disk must not keep the outbox from opening.

import { basename, join } from 'node:path';
import { outboxStepBytes, storeQuarantineFilesMax } from '../../limits.ts';
import type { LogFile, LogFiles } from '../../platform/log-files.ts';

const namePattern = /^outbox-(\d{6})-.+$/;

/** Copies the files; answers where the copies are. */
export function quarantine(files: LogFiles, paths: readonly string[], directory: string): readonly string[] {
  const made: string[] = [];
  try {
    files.makeDirectory('outbox:quarantine', directory);
    const there = files
      .list('outbox:quarantine', directory)
      .filter((name) => namePattern.test(name))
      .sort();
    let number = Number(namePattern.exec(there.at(-1) ?? '')?.[1] ?? 0);
    for (const path of paths.slice(-storeQuarantineFilesMax)) {
      const name = `outbox-${String(++number).padStart(6, '0')}-${basename(path)}`;
      copy(files, path, join(directory, name));
      made.push(join(directory, name));
      there.push(name);
    }
    while (there.length > storeQuarantineFilesMax)
      files.remove('outbox:quarantine', join(directory, there.shift() as string));
  } catch {
    return made;
  }
  return made;
}

function copy(files: LogFiles, from: string, to: string): void {
  const source = files.open('outbox:quarantine', from, 'read');
  let target: LogFile | undefined;
  try {
    target = files.open('outbox:quarantine', to, 'create');
    const buffer = new Uint8Array(outboxStepBytes);
    for (let position = 0; ; ) {
      const count = files.read('outbox:quarantine', source, { into: buffer, position });
      if (count === 0) break;
      files.write('outbox:quarantine', target, { buffers: [buffer.subarray(0, count)], position });
      position += count;
    }
  } finally {
    files.close('outbox:quarantine', source);
    if (target !== undefined) files.close('outbox:quarantine', target);
  }
}
