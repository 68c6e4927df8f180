// weir's broker engine with its access rules and nothing else, for measuring before or without the executable.
//
//   node broker-alone.cjs --acl-file F [--listen tcp://127.0.0.1:PORT]… [--listen tls://…] [--tls-certificate F --tls-key F]

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Access } from '../../src/access/index.ts';
import { Broker } from '../../src/broker/index.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { systemDisk } from '../../src/platform/disk.ts';
import { systemEntropy } from '../../src/platform/entropy.ts';
import { createLog } from '../../src/platform/log.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { systemNetwork } from '../../src/platform/net.ts';
import { tlsContext } from '../../src/platform/tls.ts';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      'acl-file': { type: 'string' },
      listen: { type: 'string', multiple: true, default: [] },
      'tls-certificate': { type: 'string', default: '' },
      'tls-key': { type: 'string', default: '' },
    },
  });
  const clock = systemClock();
  const metrics = createMetrics();
  const log = createLog({ clock, level: 'error', write: (line) => void process.stderr.write(line) });
  const access = await Access.load(
    { clock, disk: systemDisk(), entropy: systemEntropy(), log, metrics },
    {
      passwordFile: undefined,
      aclFile: values['acl-file'],
      allowsAnonymous: () => true,
      certificateIsUser: false,
    },
  );
  const { credentials: authenticator, authoriser } = access;
  const broker = new Broker({ network: systemNetwork(), clock, log, metrics, authenticator, authoriser });
  await broker.start();
  for (const text of values.listen) {
    const { protocol, hostname: host, port } = new URL(text);
    const isTls = protocol === 'tls:';
    const tls = isTls
      ? tlsContext({
          certificatePem: readFileSync(values['tls-certificate'], 'utf8'),
          privateKeyPem: readFileSync(values['tls-key'], 'utf8'),
        })
      : undefined;
    await broker.listen(isTls ? 'tls' : 'tcp', {
      kind: 'tcp',
      host,
      port: Number(port),
      ...(tls === undefined ? {} : { tls }),
    });
  }
  process.once('SIGTERM', () => void broker.close().then(() => process.exit(0)));
}

void main();
