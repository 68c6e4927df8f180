// The password file, one user a line, as mosquitto_passwd writes and reads it.
//
//   # a comment
//   plc-1:$7$10000$c2FsdA==$…hash…
//
// User names hold no colon. What mosquitto skips in silence (a line without a colon, a second line of a user) is a
// mistake here, since the one who wrote it meant something.

import { accessUsersMax } from '../limits.ts';
import type { FileProblem } from './errors.ts';
import { type PasswordHash, readPasswordHash } from './password-hash.ts';
import { anonymousName } from './ports.ts';

export interface PasswordFile {
  readonly users: ReadonlyMap<string, PasswordHash>;
  readonly problems: readonly FileProblem[];
}

const mendPassword = (user: string): string => `Set it anew: weir broker passwd FILE ${user}`;

/** Never throws: what is wrong is in `problems`. */
export function parsePasswordFile(text: string): PasswordFile {
  const users = new Map<string, PasswordHash>();
  const problems: FileProblem[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const problem = (message: string, mend: string): void => void problems.push({ line: index + 1, message, mend });
    const colon = line.indexOf(':');
    const user = line.slice(0, Math.max(0, colon)).trim();
    if (!isUserName(user)) {
      problem('there is no user name.', 'Write user:hash, or remove the line.');
      continue;
    }
    const reading = readPasswordHash(line.slice(colon + 1).trim());
    if (!reading.ok) problem(`the password of user '${user}' ${reading.reason}.`, mendPassword(user));
    else if (users.has(user)) problem(`user '${user}' stands in an earlier line already.`, 'Remove one of them.');
    else if (users.size >= accessUsersMax) problem(`there are more than ${accessUsersMax} users.`, 'Remove some.');
    else users.set(user, reading.hash);
  }
  return { users, problems };
}

/** The same file with the line of `user` replaced, or added at its end. Comments and other lines stay. */
export function withUser(text: string, user: string, hash: string): string {
  const kept = lines(text);
  const at = kept.findIndex((line) => userOf(line) === user);
  if (at >= 0) kept[at] = `${user}:${hash}`;
  else kept.push(`${user}:${hash}`);
  return `${kept.join('\n')}\n`;
}

/** The same file without `user`; undefined when it is not in there. */
export function withoutUser(text: string, user: string): string | undefined {
  const all = lines(text);
  const kept = all.filter((line) => userOf(line) !== user);
  if (kept.length === all.length) return undefined;
  return kept.length === 0 ? '' : `${kept.join('\n')}\n`;
}

/** A name that can stand in a password file. */
export function isUserName(name: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  return name !== '' && name !== anonymousName && name.trim() === name && !/^#|[:\u0000-\u001f]/.test(name);
}

function lines(text: string): string[] {
  const all = text.split('\n');
  if (all.at(-1) === '') all.pop();
  return all;
}

function userOf(line: string): string | undefined {
  const colon = line.indexOf(':');
  return colon < 0 || line.trimStart().startsWith('#') ? undefined : line.slice(0, colon).trim();
}
