// Eclipse Paho's Python client against the executable; what it does is in paho_session.py.

import t from 'tap';
import { Program } from '../support/world/program.ts';
import { StandaloneBroker } from '../support/world/standalone.ts';

const transports = ['tcp', 'tls', 'ws', 'wss'] as const;
/** Debian's, which has the package; another one may come first in the path. */
const python = '/usr/bin/python3';

for (const demands of ['nothing', 'a certificate'] as const)
  t.test(`Paho's client does all it can where ${demands} is asked of it`, async (t) => {
    const withCertificate = demands === 'a certificate';
    const broker = await StandaloneBroker.start(t, {
      listen: transports,
      durable: true,
      args: withCertificate ? ['--require-certificate', '--allow-anonymous'] : [],
    });
    const { authority, clientCertificate, clientKey } = broker.certificates;
    const files = withCertificate ? [clientCertificate, clientKey] : ['-', '-'];
    const wanted = transports.filter((name) => !withCertificate || name === 'tls' || name === 'wss');
    const runs = wanted.flatMap((transport) => ['4', '5'].map((version) => [transport, version] as const));
    const run = async ([transport, version]: (typeof runs)[number]): Promise<void> => {
      const args = [transport, version, String(broker.port(transport)), authority, ...files];
      const { code, stderr } = await new Program([python, 'test/interop/paho_session.py', ...args], {}).result();
      t.equal(code, 0, `${transport}, version ${version}: ${stderr}`);
    };
    await Promise.all(runs.map(run));
  });
