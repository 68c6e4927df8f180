// A file system that nobody else writes to: ext4 in a sparse file, loop-mounted, so that the sectors written to its
// device are ours alone. Inode tables and journal are laid out at once; ext4 would do it in the background otherwise,
// and be counted. Where nothing may be mounted an ordinary directory takes its place, and `isOwn` says so.

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';

export interface OwnDisk {
  readonly directory: string;
  readonly isOwn: boolean;
  /** Nothing may use it any more. */
  remove(): void;
}

export function ownDisk(directory: string, gibibytes: number): OwnDisk {
  mkdirSync(directory, { recursive: true });
  const image = `${directory}.img`;
  const isOwn =
    attempt('truncate', '-s', `${gibibytes}G`, image) &&
    attempt('mkfs.ext4', '-q', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image) &&
    attempt('mount', '-o', 'loop,noatime', image, directory);
  return {
    directory,
    isOwn,
    remove: () => {
      if (isOwn) attempt('umount', directory) || attempt('umount', '-l', directory);
    },
  };
}

function attempt(program: string, ...args: readonly string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
