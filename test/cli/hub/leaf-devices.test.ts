// The commands about devices behind a gateway, as a person types them, against a real hub.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { runCli } from '../../../src/cli/index.ts';
import { startHub } from '../../../src/cloud.ts';
import { systemHttp } from '../../../src/platform/http.ts';
import { recordedContext } from '../../support/cli-context.ts';

interface Spoken {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function openHub(t: Test): Promise<(line: string) => Promise<Spoken>> {
  const root = mkdtempSync(join(tmpdir(), 'weir-hub-leaf-'));
  const hub = await startHub({
    dataDir: join(root, 'data'),
    runDir: root,
    hostnames: ['localhost'],
    mqtt: { host: '127.0.0.1', port: 0 },
    retentionBytes: 2 ** 30,
    retentionMs: 86_400_000,
    logLevel: 'error',
    writeLog: (line) => void t.comment(line.trimEnd()),
  });
  t.teardown(async () => {
    await hub.close();
    rmSync(root, { recursive: true, force: true });
  });
  return async (line) => {
    const recorded = recordedContext({ columns: 1000 });
    const code = await runCli([...line.split(' '), '--run-dir', root], { ...recorded, http: systemHttp() });
    return { code, out: recorded.out(), err: recorded.err() };
  };
}

t.test('a device is created behind a gateway, moved, disabled and freed', async (t) => {
  const weir = await openHub(t);
  for (const gateway of ['gw-1', 'gw-2']) await weir(`hub device create ${gateway} --edge`);
  const created = await weir('hub device create sensor-1 --parent gw-1');
  t.equal(created.code, 0, created.err);
  t.match(created.out, /^HostName=localhost;DeviceId=sensor-1;SharedAccessKey=[^;]+;GatewayHostName=HOSTNAME/);
  t.match(created.out, /certs\/authority\.crt of the data directory of gw-1/);
  t.match((await weir('hub device list')).out, /sensor-1 +device +enabled .* gw-1\n/);
  t.match((await weir('hub device show sensor-1')).out, /parent +gw-1\nauth +shared_private_key/);
  t.match(await weir('hub device set-parent sensor-1 gw-2'), { code: 0, out: /sensor-1 is behind gw-2 now/ });
  t.match((await weir('hub device list')).out, /sensor-1 +device +enabled .* gw-2\n/);
  t.match(await weir('hub device update sensor-1 --status disabled'), { code: 0, out: /disabled now/ });
  t.match((await weir('hub device list')).out, /sensor-1 +device +disabled .* gw-2\n/, 'it keeps its place');
  t.match(await weir('hub device set-parent sensor-1 --none'), { code: 0, out: /no gateway/ });
  t.match((await weir('hub device list')).out, /sensor-1 +device +disabled .* -\n/);
  await weir('hub device create sensor-2');
  t.match(await weir('hub device add-children gw-1 sensor-1 sensor-2'), {
    code: 0,
    out: 'sensor-1 is behind gw-1 now\nsensor-2 is behind gw-1 now\n',
  });
});

t.test('a device proves itself by a certificate when it was created so', async (t) => {
  const weir = await openHub(t);
  await weir('hub device create gw-1 --edge');
  const print = 'AB'.repeat(32);
  const created = await weir(`hub device create cam-1 --parent gw-1 --auth-method x509_thumbprint --ptp ${print}`);
  t.equal(created.code, 0, created.err);
  t.match(created.out, /^HostName=localhost;DeviceId=cam-1;x509=true;GatewayHostName=/);
  t.match((await weir('hub device show cam-1')).out, /auth +x509_thumbprint/);
  t.match(JSON.parse((await weir('hub device show cam-1 --json')).out), {
    authentication: { type: 'selfSigned', x509Thumbprint: { primaryThumbprint: print } },
  });
  await weir('hub device create cam-2 --auth-method x509_ca');
  t.match((await weir('hub device show cam-2')).out, /auth +x509_ca/);
  t.match((await weir('hub device connection-string cam-2')).out, /x509=true\n$/);
});

t.test('what cannot be is refused with the mend', async (t) => {
  const weir = await openHub(t);
  await weir('hub device create gw-1 --edge');
  await weir('hub device create plain');
  const refusals: readonly (readonly [string, number, RegExp])[] = [
    ['hub device create a --edge --parent gw-1', 2, /connects to the hub itself/],
    ['hub device create a --parent plain', 2, /created with --edge/],
    ['hub device create a --parent nobody', 1, /HUB_DEVICE_NOT_FOUND/],
    ['hub device set-parent gw-1 gw-1', 1, /no edge|cannot have a parent|HUB_ARGUMENT_INVALID/],
    ['hub device set-parent plain', 2, /--none/],
    ['hub device create a --auth-method x509_thumbprint', 1, /thumbprint/],
  ];
  for (const [line, code, err] of refusals) t.match(await weir(line), { code, err }, line);
});
