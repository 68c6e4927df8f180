// The users of this machine: from a name to the numbers the kernel knows.
//
// Reads /etc/passwd and /etc/group, as a static program would; users of a directory service are given by number.
//
//   passwd  name:x:uid:gid:…          group  name:x:gid:member,member

import { readFile } from 'node:fs/promises';

export interface UserFacts {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
}

/** Undefined when there is no such user. A number `uid` or `uid:gid` is taken as it is. */
export async function findUser(name: string): Promise<UserFacts | undefined> {
  const [, uidText, gidText] = /^(\d+)(?::(\d+))?$/.exec(name) ?? [];
  if (uidText !== undefined) return { uid: Number(uidText), gid: Number(gidText ?? uidText), groups: [] };
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const user = users.find(([found]) => found === name);
  if (user === undefined) return undefined;
  const groups = (await readFile('/etc/group', 'utf8'))
    .split('\n')
    .map((line) => line.split(':'))
    .filter((fields) => (fields[3] ?? '').split(',').includes(name))
    .map((fields) => Number(fields[2]));
  return { uid: Number(user[2]), gid: Number(user[3]), groups };
}

/** The numbers of those of these groups that this machine has. */
export async function findGroups(names: readonly string[]): Promise<readonly number[]> {
  const text = await readFile('/etc/group', 'utf8').catch(() => '');
  const lines = text.split('\n').map((line) => line.split(':'));
  return lines.filter(([name = '']) => names.includes(name)).map((fields) => Number(fields[2]));
}
