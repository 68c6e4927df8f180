// The hub's commands as a person types them, against a real hub.

import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { CliContext } from '../../../src/cli/context.ts';
import { runCli } from '../../../src/cli/index.ts';
import { type RunningHub, startHub } from '../../../src/cloud.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { systemDisk } from '../../../src/platform/disk.ts';
import { systemHttp } from '../../../src/platform/http.ts';
import { systemProcesses } from '../../../src/platform/process.ts';
import { telemetryTopic } from '../../../src/protocol/iothub/index.ts';
import { edgeManifest } from '../../support/edge-manifest.ts';
import { connectHubDevice } from '../../support/hub-device.ts';

/** Unix socket paths are short: not inside the test directory. */
function place(t: Test): string {
  const root = mkdtempSync(join(tmpdir(), 'weir-hub-cli-'));
  t.teardown(() => rmSync(root, { recursive: true, force: true }));
  return root;
}

async function openHub(t: Test, root: string): Promise<RunningHub> {
  const hub = await startHub({
    dataDir: join(root, 'data'),
    runDir: root,
    hostnames: ['localhost'],
    mqtt: { host: '127.0.0.1', port: 0 },
    mqttPlain: { host: '127.0.0.1', port: 0 },
    retentionBytes: 2 ** 30,
    retentionMs: 86_400_000,
    logLevel: 'error',
    writeLog: (line) => void t.comment(line.trimEnd()),
  });
  t.teardown(() => hub.close());
  return hub;
}

interface Spoken {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

class Console {
  out = '';
  err = '';
  stop = (): void => undefined;
  readonly context: CliContext;
  #wake = (): void => undefined;

  constructor() {
    const write = (text: string): void => {
      this.out += text;
      this.#wake();
    };
    this.context = {
      terminal: {
        write: async (text) => write(text),
        writeError: (text) => {
          this.err += text;
        },
        columns: 1000,
        rows: 24,
        isTerminal: false,
        hasColour: false,
      },
      clock: systemClock(),
      disk: systemDisk(),
      http: systemHttp(),
      processes: systemProcesses(),
      env: {},
      keyboard: { isTerminal: false, readSecret: async () => undefined, readLine: async () => undefined },
      onReload: () => undefined,
      onStop: (listener) => {
        this.stop = listener;
      },
      exit: { code: 0 },
    };
  }

  /** Resolves with the first line of output that matches. */
  async line(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = this.out.split('\n').find((line) => pattern.test(line));
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

async function weir(root: string, line: string, ...more: readonly string[]): Promise<Spoken> {
  const console = new Console();
  const code = await runCli([...line.split(' '), ...more, '--run-dir', root], console.context);
  return { code, out: console.out, err: console.err };
}

t.test('a device is created, listed, shown and deleted', async (t) => {
  const root = place(t);
  const hub = await openHub(t, root);
  const created = await weir(root, 'hub device create gw-7 --edge');
  t.equal(created.code, 0);
  t.match(
    created.out,
    new RegExp(`^HostName=localhost;DeviceId=gw-7;SharedAccessKey=[A-Za-z0-9+/=]+;Port=${hub.mqttPort}\n`),
  );
  t.match(created.out, /\[provisioning\]/);
  const direct = await weir(root, 'hub device create sensor');
  t.match(
    direct.out,
    /^HostName=localhost;DeviceId=sensor;.*\n\nNext: .*SDK\..*\nThe device trusts .*hub-ca\.pem\.\n$/,
  );
  await weir(root, 'hub device delete sensor');
  const [connectionString = ''] = created.out.split('\n');
  t.equal((await weir(root, 'hub device connection-string gw-7')).out, `${connectionString}\n`);
  t.not((await weir(root, 'hub device connection-string gw-7 --secondary')).out, `${connectionString}\n`);
  t.match((await weir(root, 'hub device list')).out, /DEVICE.*\ngw-7 +edge +enabled +-/);
  t.match(JSON.parse((await weir(root, 'hub device list --json')).out), [
    { deviceId: 'gw-7', capabilities: { iotEdge: true } },
  ]);
  const shown = await weir(root, 'hub device show gw-7');
  t.match(shown.out, /\$edgeHub/);
  t.notMatch(shown.out, connectionString.slice(60, 90));
  t.match(await weir(root, 'hub device create gw-7'), {
    code: 1,
    err: /exists already\. Choose another id.*\[HUB_DEVICE_EXISTS\]/,
  });
  t.match(await weir(root, 'hub device delete gw-7'), { code: 0 });
  t.match(await weir(root, 'hub device show gw-7'), {
    code: 1,
    err: /weir hub device create gw-7.*\[HUB_DEVICE_NOT_FOUND\]/,
  });
  t.match((await weir(root, 'hub device list')).out, /No devices/);
});

t.test('a manifest is deployed and its effect shown; a faulty one is refused with every fault on a line', async (t) => {
  const root = place(t);
  await openHub(t, root);
  await weir(root, 'hub device create gw --edge');
  const file = join(root, 'manifest.json');
  writeFileSync(file, JSON.stringify(edgeManifest()));
  const applied = await weir(root, 'hub deploy --device gw', file);
  t.equal(applied.code, 0);
  t.match(applied.out, /modules created +SimulatedTemperatureSensor, modbus/);
  t.match((await weir(root, 'hub deploy --device gw', file)).out, /unchanged +\$edgeAgent, \$edgeHub/);
  const twin = await weir(root, 'hub twin show gw $edgeHub');
  t.match(JSON.parse(twin.out), { properties: { desired: { $version: 2, schemaVersion: '1.1' } } });
  t.match(JSON.parse((await weir(root, 'hub twin show --device gw --module SimulatedTemperatureSensor')).out), {
    moduleId: 'SimulatedTemperatureSensor',
  });
  const hot = edgeManifest();
  const routes = { hot: 'FROM /messages/* WHERE t > 20 INTO $upstream' };
  hot.modulesContent['$edgeHub']!['properties.desired'] = { schemaVersion: '1.1', routes };
  writeFileSync(file, `\ufeff${JSON.stringify(hot)}`);
  t.match(await weir(root, 'hub deploy --device gw', file), {
    code: 0,
    out: /^Applied to gw\.\n.*\nnot in force: Route hot, character 26: .*as_number\(t\)\.\n$/s,
  });
  t.match(JSON.parse((await weir(root, 'hub deploy --json --device gw', file)).out), { wrongRoutes: [/^Route hot/] });
  const bad = edgeManifest();
  bad.modulesContent['$edgeHub']!['properties.desired'] = { schemaVersion: '9', routes: { x: 'nonsense' } };
  writeFileSync(file, JSON.stringify(bad));
  const refused = await weir(root, 'hub deploy --device gw', file);
  t.equal(refused.code, 1);
  t.match(
    refused.err,
    /2 errors, nothing was changed:\n {2}\$\.modulesContent\.\$edgeHub\["properties\.desired"\]\.schemaVersion: .*\n {2}\$.*routes\.x: .*\n.*\[HUB_MANIFEST_INVALID\]/,
  );
  t.match(await weir(root, 'hub deploy --device gw', join(root, 'none.json')), { code: 1, err: /CLI_CANNOT_READ/ });
});

t.test('the log is shown from the beginning, for persons and for programs', async (t) => {
  const root = place(t);
  const hub = await openHub(t, root);
  const created = JSON.parse((await weir(root, 'hub device create leaf --json')).out) as { connectionString: string };
  const keyBase64 = /SharedAccessKey=([^;]+)/.exec(created.connectionString)?.[1] ?? '';
  const device = await connectHubDevice({ port: hub.mqttPlainPort!, identity: { deviceId: 'leaf' }, keyBase64 });
  t.teardown(() => device.end());
  await device.send(telemetryTopic({ deviceId: 'leaf' }, '$.ct=application%2Fjson&batch=7'), '{"t":21.5}');
  await device.send(telemetryTopic({ deviceId: 'leaf' }, ''), 'plain words');
  await device.send(telemetryTopic({ deviceId: 'leaf' }, ''), '\u0000\u0001');
  const shown = await weir(root, 'hub monitor --from earliest --no-follow');
  t.match(
    shown.out,
    /^\S+Z #1 leaf \{"t":21\.5\} batch=7 \[contentType=application\/json\]\n\S+Z #2 leaf plain words\n\S+Z #3 leaf \(2 bytes\)\n$/,
  );
  const lines = (await weir(root, 'hub monitor --from 2 --no-follow --json')).out.trim().split('\n');
  t.match(
    lines.map((line) => JSON.parse(line)),
    [{ offset: 2, deviceId: 'leaf', bodyBase64: Buffer.from('plain words').toString('base64') }, { offset: 3 }],
  );
  t.match(await weir(root, 'hub monitor --from earliest --no-follow --device other'), {
    code: 0,
    out: '',
    err: 'weir: there is no device other now; shown is what it sent before.\n',
  });
  t.match(await weir(root, 'hub monitor --from yesterday'), {
    code: 1,
    err: /no place in the log.*\[HUB_ARGUMENT_INVALID\]/,
  });
});

t.test('a monitor that follows lives through a restart of the hub and misses nothing', async (t) => {
  const root = place(t);
  const first = await openHub(t, root);
  const created = JSON.parse((await weir(root, 'hub device create leaf --json')).out) as { connectionString: string };
  const keyBase64 = /SharedAccessKey=([^;]+)/.exec(created.connectionString)?.[1] ?? '';
  const send = async (hub: RunningHub, body: string): Promise<void> => {
    const device = await connectHubDevice({ port: hub.mqttPlainPort!, identity: { deviceId: 'leaf' }, keyBase64 });
    await device.send(telemetryTopic({ deviceId: 'leaf' }, ''), body);
    await device.end();
  };
  await send(first, 'zero');
  const console = new Console();
  const running = runCli(['hub', 'monitor', '--run-dir', root, '--from', '2'], console.context);
  await send(first, 'one');
  await console.line(/#2 leaf one/);
  await first.close();
  const second = await openHub(t, root);
  await send(second, 'two');
  await console.line(/#3 leaf two/);
  console.stop();
  t.equal(await running, 0);
  t.equal(console.out.split('\n').length, 3, 'each message once');
  t.match(console.err, /the hub went away/);
});

t.test('a method is called, and a message sent, told of and forgotten', async (t) => {
  const root = place(t);
  const hub = await openHub(t, root);
  const { out } = await weir(root, 'hub device create plc');
  const keyBase64 = /SharedAccessKey=([^;]+)/.exec(out)?.[1] ?? '';
  const identity = { deviceId: 'plc' };

  t.match(await weir(root, 'hub method invoke plc reboot'), { code: 1, err: /not connected.*IOTHUB_NOT_LISTENING/ });
  const sent = await weir(root, 'hub send plc --property a=b --property c= --ack full --message-id m1', 'hello there');
  t.match(sent, { code: 0, out: /^Message m1 waits for plc until \S+Z \(1 in its queue\)/ });
  writeFileSync(join(root, 'body'), Buffer.from([0, 255]));
  const second = await weir(root, 'hub send plc --message-id m2 --expiry 60 --json --file', join(root, 'body'));
  t.match(JSON.parse(second.out), { messageId: 'm2', waiting: 2 });

  const device = await connectHubDevice({ port: hub.mqttPlainPort!, identity, keyBase64 });
  t.teardown(() => device.end());
  await device.subscribe('devices/plc/messages/devicebound/#');
  const first = await device.next(/devicebound/);
  t.match(first, { body: 'hello there', topic: /\$\.mid=m1&.*iothub-ack=full&a=b&c=$/ });
  await device.next(/mid=m2/);
  t.match((await weir(root, 'hub feedback')).out, /^\S+Z #1 plc m1 Success\n$/);
  t.match(JSON.parse((await weir(root, 'hub feedback --json')).out), {
    originalMessageId: 'm1',
    statusCode: 'Success',
  });

  await device.subscribe('$iothub/methods/POST/#');
  const calling = weir(root, 'hub method invoke plc reboot --timeout 20 --payload', '{"hard":true}');
  const call = await device.next(/methods\/POST/);
  t.match(call, { topic: /^\$iothub\/methods\/POST\/reboot\/\?\$rid=/, body: '{"hard":true}' });
  await device.send(`$iothub/methods/res/202/?$rid=${call.topic.split('=')[1] ?? ''}`, '{"in":3}');
  t.match(await calling, { code: 0, out: 'Status 202\n{\n  "in": 3\n}\n' });

  await device.end();
  await weir(root, 'hub send plc x');
  t.match(await weir(root, 'hub device purge-queue plc'), { code: 0, out: /^Purged 1 message for plc\.$/m });
  for (const line of [
    'hub send plc x --property novalue',
    'hub send plc x --expiry 0',
    'hub send plc x --file y',
    'hub send plc x --ack perhaps',
    'hub method invoke plc/a/b x',
    'hub method invoke plc x --payload {',
    'hub method',
  ])
    t.equal((await weir(root, line)).code, 2, line);
  t.match(await weir(root, 'hub method invoke plc x --timeout 1'), { code: 1, err: /IOTHUB_METHOD_INVALID/ });
  t.match(await weir(root, 'hub send nobody x'), { code: 1, err: /HUB_DEVICE_NOT_FOUND/ });
});

t.test('a twin is updated and replaced, from the line and from a file, and only while it has the etag', async (t) => {
  const root = place(t);
  await openHub(t, root);
  await weir(root, 'hub device create plc');
  const updated = await weir(root, 'hub twin update plc --json', '--desired', '{"period":5,"old":1}');
  t.match(JSON.parse(updated.out), { version: 2, properties: { desired: { period: 5, $version: 2 } } });
  const { etag } = JSON.parse(updated.out) as { readonly etag: string };
  t.match(await weir(root, 'hub twin update plc', '--desired', '{"old":null}', '--tags', '{"site":"A"}'), {
    code: 0,
    out: /^plc: desired version 3, etag \S+\n$/,
  });
  const late = await weir(root, 'hub twin update plc --etag', etag, '--desired', '{"period":6}');
  t.match(late, { code: 1, err: /HUB_ETAG_MISMATCH/ });
  const file = join(root, 'twin.json');
  writeFileSync(file, (await weir(root, 'hub twin show plc')).out.replace('"period": 5', '"speed": 7'));
  t.match(await weir(root, 'hub twin replace plc --file', file), { code: 0 });
  const twin = JSON.parse((await weir(root, 'hub twin show plc')).out) as {
    readonly properties: { readonly desired: object };
  };
  t.match(twin, { tags: { site: 'A' }, properties: { desired: { speed: 7, $version: 4 } } });
  t.match(twin.properties.desired, { $metadata: { speed: { $lastUpdated: /^20/, $lastUpdatedVersion: 4 } } });
  t.notOk('period' in twin.properties.desired);
  writeFileSync(file, '{"propertys":{}}');
  t.match(await weir(root, 'hub twin replace plc --file', file), { code: 1, err: /neither tags nor/ });
  t.match(await weir(root, 'hub twin update plc', '--desired', '{"a.b":1}'), { code: 1, err: /HUB_TWIN_INVALID/ });
});

t.test('without a hub every command says which socket it tried and how to start one', async (t) => {
  const root = place(t);
  for (const line of [
    'hub device list',
    'hub device show x',
    'hub twin show x',
    'hub monitor',
    'hub device create x',
  ]) {
    const spoken = await weir(root, line);
    t.equal(spoken.code, 1, line);
    t.match(spoken.err, new RegExp(`${root}/hub\\.sock.*weir hub start.*\\[CLI_HUB_NOT_RUNNING\\]`), line);
  }
  t.match(await weir(root, 'hub device list --hub-socket /nowhere/h.sock'), { code: 1, err: /\/nowhere\/h\.sock/ });
});

t.test('wrong usage ends with 2', async (t) => {
  const root = place(t);
  for (const line of [
    'hub',
    'hub device',
    'hub device create',
    'hub deploy x.json',
    'hub twin show',
    'hub twin update gw',
    'hub twin update --desired {}',
    'hub twin update gw --desired [1]',
    'hub twin update gw --desired {} --file x.json',
    'hub start --events noise',
    'hub start --mqtt-port 70000',
    'hub start --mqtt-plain 1883',
    'hub start --retention-days 0',
    'hub start --hostname a/b',
    'hub start --config x',
    'hub devices',
  ]) {
    t.match(await weir(root, line), { code: 2, err: /CLI_USAGE/ }, line);
  }
});

t.test('start prints a line when it serves, and ends in order when told', async (t) => {
  const root = place(t);
  const console = new Console();
  const args = [
    'hub',
    'start',
    '--json',
    '--run-dir',
    root,
    '--data-dir',
    join(root, 'data'),
    '--mqtt-host',
    '127.0.0.1',
    '--mqtt-port',
    '0',
  ];
  const running = runCli(args, console.context);
  const ready = JSON.parse(await console.line(/ready/)) as { mqttPort: number; socket: string; caPath: string };
  t.match(ready, {
    event: 'ready',
    hostname: 'localhost',
    mqttPlainPort: null,
    mqttWssPort: null,
    socket: join(root, 'hub.sock'),
    caPath: join(root, 'data', 'certs', 'hub-ca.pem'),
  });
  t.ok(ready.mqttPort > 0);
  t.ok(statSync(ready.caPath).size > 0);
  t.match(await weir(root, 'hub device list'), { code: 0 });
  console.stop();
  t.equal(await running, 0);
  t.match(await weir(root, 'hub device list'), { code: 1 });
});
