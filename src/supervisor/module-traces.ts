// What is left of a module on the disk when nothing of it runs any more, and goes with it: its run directory and its
// log. The private directory stays: a deployment that is rolled back to wants its data again.

import type { Disk } from '../platform/disk.ts';
import { logFile, type ModulePaths } from './module-paths.ts';

export async function removeTraces(disk: Disk, { directory, log }: ModulePaths): Promise<void> {
  await disk.remove('module:erase', directory);
  for (let number = 0; (await disk.facts('module:erase', logFile(log, number))) !== undefined; number++) {
    await disk.remove('module:erase', logFile(log, number));
  }
}
