// A hub in a process of its own, for tests that kill it. Arguments: data directory, run directory.

import { startHub } from '../../src/cloud.ts';

const [dataDir = '', runDir = ''] = process.argv.slice(2);

const hub = await startHub({
  dataDir,
  runDir,
  hostnames: ['localhost'],
  mqtt: { host: '127.0.0.1', port: 0 },
  retentionBytes: 2 ** 30,
  retentionMs: 86_400_000,
  logLevel: 'warn',
  writeLog: (line) => void process.stderr.write(line),
});
process.stdout.write(`${JSON.stringify({ mqttPort: hub.mqttPort })}\n`);
