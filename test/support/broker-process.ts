// A broker with durable sessions in a process of its own, for tests that kill it. Arguments: the data directory and
// the bundled store thread. Prints the port it listens on as one line of JSON; everybody may do everything.

import { join } from 'node:path';
import { Broker } from '../../src/broker/index.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createLog } from '../../src/platform/log.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { systemNetwork } from '../../src/platform/net.ts';
import { startThread } from '../../src/platform/thread.ts';
import { Store } from '../../src/store/index.ts';

const quotaBytes = 268_435_456;

async function main(dataDir: string, threadPath: string): Promise<void> {
  const clock = systemClock();
  const metrics = createMetrics();
  const log = createLog({ clock, level: 'info', write: (line) => void process.stderr.write(line) });
  const store = new Store(
    { startThread: () => startThread({ path: threadPath }, undefined), clock, log, metrics },
    { path: join(dataDir, 'mqtt.db'), quarantine: join(dataDir, 'quarantine'), quotaBytes },
  );
  await store.start();
  const broker = new Broker({
    network: systemNetwork(),
    clock,
    log,
    metrics,
    authenticator: {
      authenticate: ({ clientId }) =>
        Promise.resolve({
          admitted: true,
          principal: { name: clientId, identity: undefined },
          expiresAtMs: undefined,
        }),
    },
    authoriser: { epoch: 0, mayPublish: () => true, maySubscribe: () => true },
    sessionStore: store.sessions,
  });
  await broker.start();
  const listener = await broker.listen('tcp', { kind: 'tcp', host: '127.0.0.1', port: 0 });
  process.stdout.write(`${JSON.stringify(listener.address)}\n`);
  process.once('SIGTERM', () => {
    void broker
      .close()
      .then(() => store.close())
      .then(() => process.exit(0));
  });
}

const [dataDir = '', threadPath = ''] = process.argv.slice(2);
void main(dataDir, threadPath);
