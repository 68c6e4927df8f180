// Where a module's files are. Names come from deployments and may hold anything; file names may not.
//
//   $edgeHub  →  %24edgeHub       a/b  →  a%2Fb       ..  →  %2E.
//
// Every byte but [A-Za-z0-9_-] and a dot that is not first becomes %XX. The mapping is one to one, so a directory
// found on the disk names its module, and whatever this mapping could not have made is not ours.

import { moduleFileNameBytesMax } from '../limits.ts';

export interface ModulePaths {
  /** Run directory of the module: the shim's sockets and records, supervision.json. */
  readonly directory: string;
  readonly socket: string;
  readonly state: string;
  readonly exit: string;
  readonly record: string;
  /** What the shim said when it could not start. */
  readonly errors: string;
  readonly log: string;
}

/** Undefined when the name is empty or too long to be a file name. */
export function moduleFileName(name: string): string | undefined {
  let escaped = '';
  for (const byte of Buffer.from(name, 'utf8')) {
    const character = String.fromCharCode(byte);
    const plain = /[A-Za-z0-9_-]/.test(character) || (character === '.' && escaped !== '');
    escaped += plain ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return escaped === '' || escaped.length > moduleFileNameBytesMax ? undefined : escaped;
}

/** The module a file name stands for; undefined when moduleFileName() cannot have made it. */
export function moduleOfFileName(fileName: string): string | undefined {
  try {
    const name = decodeURIComponent(fileName);
    return moduleFileName(name) === fileName ? name : undefined;
  } catch {
    return undefined;
  }
}

export function modulesDirectory(runDirectory: string): string {
  return `${runDirectory}/modules`;
}

export function modulePaths(
  fileName: string,
  { runDirectory, logDirectory }: { readonly runDirectory: string; readonly logDirectory: string },
): ModulePaths {
  const directory = `${modulesDirectory(runDirectory)}/${fileName}`;
  return {
    directory,
    socket: `${directory}/ctl.sock`,
    state: `${directory}/state.json`,
    exit: `${directory}/exit.json`,
    record: `${directory}/supervision.json`,
    errors: `${directory}/shim.err`,
    log: `${logDirectory}/${fileName}.log`,
  };
}

/** The current log file is number 0. */
export function logFile(log: string, number: number): string {
  return number === 0 ? log : `${log}.${number}`;
}
