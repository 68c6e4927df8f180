// The file of a unix socket: whether its path fits, and whether somebody still answers there.

import { lstatSync, unlinkSync } from 'node:fs';
import { createConnection } from 'node:net';
import { unixPathBytesMax } from '../../limits.ts';
import { errorCode, WeirError } from '../../model/errors.ts';

/**
 * Makes `path` free for listening: removes the socket that a killed process left behind.
 * Throws PLATFORM_SOCKET_PATH_TOO_LONG, and PLATFORM_LISTEN_FAILED when a process still listens there or when what
 * is there is no socket.
 */
export async function freeUnixPath(path: string): Promise<void> {
  if (Buffer.byteLength(path) > unixPathBytesMax)
    throw new WeirError({
      code: 'PLATFORM_SOCKET_PATH_TOO_LONG',
      message: `The path of the socket ${path} has ${Buffer.byteLength(path)} bytes, and the system takes at most ${unixPathBytesMax}. Choose a shorter directory.`,
      fields: { path },
    });
  const facts = lstatSync(path, { throwIfNoEntry: false });
  if (facts === undefined) return;
  if (!facts.isSocket()) throw taken(path, 'there is a file of that name that is no socket. Remove it');
  if (await isAnswered(path)) throw taken(path, 'another process is listening there. Stop it');
  try {
    unlinkSync(path);
  } catch (cause) {
    // Another process may have been faster.
    if (errorCode(cause) !== 'ENOENT') throw cause;
  }
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ path });
    const done = (answered: boolean): void => {
      socket.destroy();
      resolve(answered);
    };
    socket.once('connect', () => done(true));
    // A full backlog (EAGAIN) and a socket of another user (EACCES) mean that there is somebody, too.
    socket.once('error', (error) => done(!['ECONNREFUSED', 'ENOENT'].includes(errorCode(error) ?? '')));
  });
}

function taken(path: string, why: string): WeirError {
  return new WeirError({
    code: 'PLATFORM_LISTEN_FAILED',
    message: `Cannot listen on ${path}: ${why}, or choose another path.`,
    fields: { endpoint: path, errno: 'EADDRINUSE' },
  });
}
