// A module's name as a file name, and back. Names come from deployments and may hold anything; file names may not.
//
//   $edgeHub  →  %24edgeHub       a/b  →  a%2Fb       ..  →  %2E.
//
// Every byte but [A-Za-z0-9_-] and a dot that is not first becomes %XX. The mapping is one to one, so a directory
// found on the disk names its module, and whatever this mapping could not have made is not ours. The supervisor's
// directories, the workload sockets and the log files all use it.

import { moduleFileNameBytesMax } from '../limits.ts';

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
