// A port for a program that has to be told one and keeps it while it is stopped and started.
//
// It is below the range from which the kernel takes ports by itself (32768 and up on Linux): neither a listener on
// port 0 nor an outgoing connection of another test can have it meanwhile.

import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

const least = 12_000;
const end = 32_000;

/** Of 127.0.0.1. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(least, end);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    await new Promise((resolve) => server.close(resolve));
    if (isFree) return port;
  }
}
