// `weir broker` from the sources, on a Node that can profile it: no executable is built, no command line loaded.
//
//   node --cpu-prof broker-alone.mjs --acl-file F --listen tcp://127.0.0.1:PORT… [--tls-cert F --tls-key F] [--data-dir D]

import { parseArgs } from 'node:util';
import { startBroker } from '../../src/standalone.ts';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      'acl-file': { type: 'string' },
      'data-dir': { type: 'string' },
      listen: { type: 'string', multiple: true },
      'tls-cert': { type: 'string' },
      'tls-key': { type: 'string' },
    },
  });
  const { 'acl-file': aclFile, 'data-dir': dataDir, 'tls-cert': tlsCert, 'tls-key': tlsKey, listen } = values;
  const given = { aclFile, dataDir, tlsCert, tlsKey, listen };
  const running = await startBroker({
    configPath: undefined,
    options: {
      allowAnonymous: true,
      logLevel: 'error',
      ...(Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as {
        [Name in keyof typeof given]?: Exclude<(typeof given)[Name], undefined>;
      }),
    },
    writeLog: (line) => void process.stderr.write(line),
  });
  process.once('SIGTERM', () => void running.close().then(() => process.exit(0)));
}

void main();
