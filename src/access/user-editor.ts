// Adding, changing and removing one user of a password file, as `weir broker passwd` does.
//
// The file is replaced in one step with mode 0600, and keeps its comments and its other users as they are. A running
// broker takes it over at SIGHUP.

import { Buffer } from 'node:buffer';
import { mqttStringBytesMax } from '../limits.ts';
import type { Disk } from '../platform/disk.ts';
import type { Entropy } from '../platform/entropy.ts';
import { readAccessFile } from './access.ts';
import { AccessError } from './errors.ts';
import { isUserName, withoutUser, withUser } from './password-file.ts';
import { hashPassword, passwordIterations, saltBytes } from './password-hash.ts';

interface EditorPorts {
  readonly disk: Disk;
  readonly entropy: Entropy;
}

const privateMode = 0o600;

/** Creates the file when there is none. Throws ACCESS_USER_INVALID, ACCESS_FILE_UNREADABLE. */
export async function setUser(
  { disk, entropy }: EditorPorts,
  path: string,
  { user, password }: { readonly user: string; readonly password: string },
): Promise<'added' | 'changed'> {
  if (!isUserName(user) || Buffer.byteLength(user) > mqttStringBytesMax)
    throw new AccessError(
      'ACCESS_USER_INVALID',
      `'${user}' cannot be a user name: no colon, no # at the start, no white space around it.`,
    );
  const bytes = Buffer.from(password, 'utf8');
  if (bytes.length === 0 || bytes.length > mqttStringBytesMax)
    throw new AccessError('ACCESS_USER_INVALID', `The password is empty, or longer than ${mqttStringBytesMax} bytes.`);
  const exists = (await disk.facts('access:facts', path)) !== undefined;
  const before = exists ? await readAccessFile(disk, path) : '';
  const hash = await hashPassword(bytes, { salt: entropy.bytes(saltBytes), iterations: passwordIterations });
  await disk.writeFileAtomic('access:write', path, { data: withUser(before, user, hash), mode: privateMode });
  return withoutUser(before, user) === undefined ? 'added' : 'changed';
}

/** Throws ACCESS_USER_UNKNOWN, ACCESS_FILE_UNREADABLE. */
export async function removeUser({ disk }: EditorPorts, path: string, user: string): Promise<void> {
  const after = withoutUser(await readAccessFile(disk, path), user);
  if (after === undefined) throw new AccessError('ACCESS_USER_UNKNOWN', `There is no user '${user}' in ${path}.`);
  await disk.writeFileAtomic('access:write', path, { data: after, mode: privateMode });
}
