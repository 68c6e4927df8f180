// What operators do with the real executable: from the hub by the direct methods of `$edgeAgent`, and at a gateway
// without any hub by `weir deploy` and its siblings. A small server of the test stands for Azure's blob storage.

import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { JsonObject, JsonValue } from '../../src/model/json.ts';
import { manifest, program } from '../support/world/manifest.ts';
import { World } from '../support/world/world.ts';

const talk = 'echo "<3> pump failed"; echo hello; echo oops >&2; while :; do sleep 1; done';

interface Blob {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

async function storage(t: Test): Promise<{ readonly url: string; readonly blobs: readonly Blob[] }> {
  const blobs: Blob[] = [];
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const { pathname, searchParams } = new URL(request.url ?? '/', 'http://storage');
      if (request.method === 'PUT' && searchParams.get('sig') === 'right')
        blobs.push({ path: pathname, query: searchParams, headers: request.headers, body: Buffer.concat(pieces) });
      response.writeHead(searchParams.get('sig') === 'right' ? 201 : 403).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/logs`, blobs };
}

function newWorld(t: Test): World {
  const world = new World({ name: 'operators' });
  t.teardown(() => world.close());
  return world;
}

t.test('the hub asks a gateway for its logs, restarts a module, and has logs uploaded', async (t) => {
  const world = newWorld(t);
  await world.startHub();
  await world.provision();
  await world.startGateway();
  await world.deploy(manifest({ modules: { talker: program('/bin/sh', ['-c', talk]) } }));
  const first = await world.running('talker');

  const call = async (module: string, name: string, payload: JsonValue = null) => {
    const body = JSON.stringify({ methodName: name, payload, responseTimeoutInSeconds: 60 });
    const path = `/twins/${world.deviceId}/modules/${encodeURIComponent(module)}/methods`;
    const answer = await world.hubCall('POST', path, body);
    if (answer.status !== 200) throw new TypeError(`${name}: ${answer.status} ${answer.body}`);
    return JSON.parse(answer.body) as { readonly status: number; readonly payload: JsonValue };
  };
  const logsOf = async (id: string, filter: JsonObject = {}) => {
    const { payload } = await call('$edgeAgent', 'GetModuleLogs', { schemaVersion: '1.0', items: [{ id, filter }] });
    return (payload as readonly { readonly id: string; readonly payload: string }[]).map((log) => log.payload).join('');
  };

  t.match(
    JSON.parse(
      await world.succeed(
        'hub',
        'method',
        'invoke',
        `${world.deviceId}/$edgeAgent`,
        'ping',
        '--json',
        ...world.hubDirs,
      ),
    ),
    {
      status: 200,
      payload: null,
    },
  );
  t.match(await call('$edgeAgent', 'Reboot'), {
    status: 400,
    payload: { message: /supported commands are - ping,Res/ },
  });

  await world.eventually('the module wrote', async () => ((await logsOf('^talk')).includes('oops') ? true : undefined));
  t.match(await logsOf('^talk'), /^<3> pump failed$/m);
  t.match(await logsOf('^talk'), /^hello$/m, 'without the stamps of the shim');
  t.equal(await logsOf('talker', { loglevel: 3 }), '<3> pump failed\n');
  t.equal(await logsOf('talker', { regex: '^hel', tail: 1 }), 'hello\n');
  t.match(await logsOf('edgeHub'), /\[INF\] - .*weir is ready/);

  t.match(await call('$edgeAgent', 'RestartModule', { schemaVersion: '1.0', id: 'talker' }), { status: 200 });
  await world.eventually('it was started anew', async () => {
    const { startedAtMs } = await world.running('talker');
    return startedAtMs !== first.startedAtMs || undefined;
  });
  t.match(await call('$edgeAgent', 'RestartModule', { schemaVersion: '1.0', id: 'nobody' }), {
    status: 500,
    payload: { message: 'Module nobody not found in the current environment' },
  });

  const { url, blobs } = await storage(t);
  const done = async (name: string, request: JsonObject) => {
    const started = await call('$edgeAgent', name, { schemaVersion: '1.0', ...request });
    t.match(started, { status: 200, payload: { status: 'Running' } });
    const { correlationId } = started.payload as { readonly correlationId: string };
    return world.eventually(`${name} ended`, async () => {
      const { payload } = await call('$edgeAgent', 'GetTaskStatus', { schemaVersion: '1.0', correlationId });
      return (payload as { readonly status: string }).status === 'Running' ? undefined : payload;
    });
  };
  const items = [{ id: 'talker' }];
  t.match(await done('UploadModuleLogs', { sasUrl: `${url}?sig=right`, items }), { status: 'Completed' });
  t.match(blobs[0]?.path, /^\/logs\/localhost\/gw1\/talker-\d{4}-\d\d-\d\d--\d\d-\d\d-\d\d\.log$/);
  t.match(blobs[0]?.headers, { 'x-ms-blob-type': 'BlockBlob', 'x-ms-blob-content-type': 'text/plain' });
  t.match(blobs[0]?.body.toString(), /hello\n/);
  t.match(await done('UploadModuleLogs', { sasUrl: `${url}?sig=wrong`, items }), {
    status: 'Failed',
    message: /^Task upload logs failed because of error .*status 403/,
  });
  t.match(await done('UploadSupportBundle', { sasUrl: `${url}?sig=right` }), { status: 'Completed' });
  t.match(blobs.at(-1)?.path, /\/support-bundle-.*\.zip$/);
  t.equal(blobs.at(-1)?.body.subarray(0, 2).toString(), 'PK');

  t.match(await call('$edgeHub', 'RefreshDeviceScopeIdentityCache', { deviceIds: ['leaf'] }), {
    status: 200,
    payload: null,
  });
});

t.test('a gateway without a hub is deployed, looked at and helped', async (t) => {
  const world = newWorld(t);
  writeFileSync(world.configPath, 'hostname = "localhost"\n[modules]\nverify = "1s"\n', { mode: 0o600 });
  await world.startGateway();
  const path = join(world.directory, 'm.json');
  const write = (content: JsonValue): void => writeFileSync(path, JSON.stringify(content));
  const weir = (...args: readonly string[]) => world.run(...args, ...world.gatewayDirs);

  write(manifest({ modules: { talker: program('/bin/sh', ['-c', talk]) } }));
  const dry = await weir('deploy', path, '--dry-run');
  t.match(dry, { code: 0, stdout: /^talker +create +/m });
  t.equal(await world.module('talker'), undefined, 'a dry run starts nothing');
  t.match(await weir('deploy', path), { code: 0, stdout: /The deployment is in force\.\n$/ });
  const { startedAtMs } = await world.running('talker');

  write({
    content: manifest({ modules: { talker: program('/bin/sh', ['-c', talk]), two: program('/bin/sleep', ['60']) } }),
  });
  const json = await weir('deploy', path, '--json');
  t.equal(json.code, 0, json.stdout);
  t.match(JSON.parse(json.stdout), {
    ok: true,
    plan: [
      { module: 'talker', action: 'keep' },
      { module: 'two', action: 'create' },
    ],
  });
  t.equal((await world.running('talker')).startedAtMs, startedAtMs, 'what did not change runs on');

  write({
    modulesContent: {
      $edgeAgent: { 'properties.desired': { schemaVersion: '1.1', modules: { a: {}, b: { type: 'x' } } } },
    },
  });
  const bad = await weir('deploy', path);
  t.equal(bad.code, 1);
  t.match(bad.stdout, /modules\.a/);
  t.match(bad.stdout, /modules\.b/);
  t.match(bad.stdout, /faults; nothing was changed\.\n$/);
  write({ modulesContent: { $edgeAgent: { 'properties.desired.modules.c': {} } } });
  t.match(await weir('deploy', path), { code: 1, stdout: /layered/ });

  t.match((await weir('list')).stdout, /^talker +running/m);
  t.match((await weir('top', '--once', '--interval', '0.3')).stdout, /^weir +running .*\n^talker +running/m);
  t.match(JSON.parse((await weir('top', '--json', '--interval', '0.3')).stdout), {
    modules: [{ name: 'weir', memoryBytes: Number }, { name: 'talker', processes: Number }, { name: 'two' }],
  });
  t.match((await weir('logs', 'talker', '--tail', '10')).stdout, / O hello\n/);
  t.match((await weir('logs')).stdout, /^talker +\| .* O hello$/m);
  t.match((await weir('logs', 'weir')).stdout, /weir is ready/);
  t.match(await weir('restart', 'talker'), { code: 0, stdout: /^talker runs again/ });
  const zip = join(world.directory, 'b.zip');
  t.match(await weir('support-bundle', '-o', zip), { code: 0 });
  t.equal(readFileSync(zip).subarray(0, 2).toString(), 'PK');
  await world.stopGateway();
});
