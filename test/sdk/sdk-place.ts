// Where Microsoft's clients can be tested: they know no ports but 8883 and 443, so each test has an address of its own.

import { createServer } from 'node:net';

export const mqttPort = 8883;
export const httpsPort = 443;

/** A reason to skip when one of the ports cannot be had on this address; else false. */
export async function portsTaken(address: string, ports: readonly number[]): Promise<string | false> {
  for (const port of ports) {
    const probe = createServer();
    try {
      await new Promise<void>((resolve, reject) => probe.once('error', reject).listen(port, address, resolve));
    } catch (error) {
      return `${address}:${port} cannot be had: ${String(error)}`;
    } finally {
      await new Promise((resolve) => probe.close(resolve));
    }
  }
  return false;
}
