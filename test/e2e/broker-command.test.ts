// `weir broker` as a person runs it in mosquitto's place, with mosquitto's own clients and files.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { wholeTree } from '../support/removal.ts';
import { Program, type ProgramResult, until } from '../support/world/program.ts';
import { readyMs, weirBinary } from '../support/world/world.ts';

const waitMs = readyMs;

interface Ready {
  readonly listeners: readonly string[];
  readonly anonymous: string;
}

/** One broker, its files, and clients of mosquitto against it. */
class Site {
  readonly dir = mkdtempSync(join(tmpdir(), 'weir-broker-'));
  readonly #started = new Set<Program>();
  broker: Program | undefined;
  ready: Ready = { listeners: [], anonymous: '' };
  port = 0;

  file(name: string, text?: string): string {
    const path = join(this.dir, name);
    if (text !== undefined) writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  run(command: readonly string[], env: Readonly<Record<string, string>> = {}): Program {
    const program = new Program(command, { ...env, WEIR_EXTRACT_DIR: this.dir });
    this.#started.add(program);
    return program;
  }

  /** `weir broker …`, until it ends. */
  async fails(...args: readonly string[]): Promise<ProgramResult> {
    return this.run([weirBinary, 'broker', ...args]).result();
  }

  async start(...args: readonly string[]): Promise<void> {
    this.broker = this.run([weirBinary, 'broker', '--json', ...args]);
    this.ready = JSON.parse(await this.broker.line('"ready"', readyMs)) as Ready;
    this.port = Number(/:(\d+)$/.exec(this.ready.listeners[0] ?? '')?.[1]);
  }

  /** What the broker logs next that matches. */
  async logged(pattern: RegExp): Promise<string> {
    return until(`${pattern} in the log`, waitMs, () => pattern.exec(this.broker?.stderr ?? '')?.[0]);
  }

  async reload(pattern: RegExp): Promise<void> {
    process.kill(this.broker?.pid ?? 0, 'SIGHUP');
    await this.logged(pattern);
  }

  async pub(topic: string, message: string, ...args: readonly string[]): Promise<ProgramResult> {
    return this.run(['mosquitto_pub', '-p', String(this.port), '-t', topic, '-m', message, ...args]).result();
  }

  /** A subscriber that is subscribed when this resolves. */
  async sub(topic: string, ...args: readonly string[]): Promise<Program> {
    const program = this.run([
      'stdbuf',
      '-oL',
      'mosquitto_sub',
      '-d',
      '-v',
      '-p',
      String(this.port),
      '-t',
      topic,
      ...args,
    ]);
    await until('the SUBACK', waitMs, () => (/Subscribed|SUBACK/.test(program.stdout) ? true : undefined));
    return program;
  }

  async close(): Promise<void> {
    for (const program of this.#started) await program.end('SIGKILL');
    rmSync(this.dir, wholeTree);
  }
}

function open(t: Test): Site {
  const site = new Site();
  t.teardown(() => site.close());
  return site;
}

/** The lines of a subscriber that are messages. */
const got = (program: Program): string[] =>
  program.stdout.split('\n').filter((line) => /^\S+ \S+$/.test(line) && !line.startsWith('Client'));
const gets = (program: Program, line: string): Promise<true> =>
  until(`"${line}"`, waitMs, () => (got(program).includes(line) ? true : undefined));

const local = ['--listen', 'tcp://127.0.0.1:0'];
const as = (user: string, password = user): readonly string[] => ['-u', user, '-P', password];

function mosquittoPasswd(file: string, ...users: readonly string[]): void {
  writeFileSync(file, '', { mode: 0o600 });
  for (const user of users) execFileSync('mosquitto_passwd', ['-b', file, user, user]);
}

t.test('without settings it serves this machine alone, and says so', async (t) => {
  const site = open(t);
  await site.start(...local);
  t.equal(site.ready.anonymous, 'local');
  await site.logged(/clients on this machine come in without a password/);
  const sub = await site.sub('a/#', '-C', '1');
  t.equal((await site.pub('a/b', 'hello')).code, 0);
  await gets(sub, 'a/b hello');
  for (const version of ['mqttv31', 'mqttv311', 'mqttv5'])
    t.equal((await site.pub('a/b', version, '-V', version, '-q', '2')).code, 0, version);

  const refused = await site.fails('--listen', 'tcp://0.0.0.0:0');
  t.match(refused, { code: 1, stderr: /0\.0\.0\.0:0 would let everybody in.*\[CONFIG_INVALID\]/ });
});

t.test('files of mosquitto_passwd let their users in, and nobody else', async (t) => {
  const site = open(t);
  const passwd = site.file('passwd');
  mosquittoPasswd(passwd, 'ann', 'bob');
  await site.start(...local, '--password-file', passwd);
  t.equal(site.ready.anonymous, 'nobody');
  t.equal((await site.pub('x', '1', ...as('ann'))).code, 0);
  t.match(await site.pub('x', '1', ...as('ann', 'wrong')), { code: 4, stderr: /bad user name or password/i });
  t.match(await site.pub('x', '1'), { code: 5, stderr: /not authori[sz]ed/i });
  t.match(await site.pub('x', '1', '-V', '5', ...as('cid')), {
    code: /[^0]/,
    stderr: /user name or password|not auth/i,
  });

  const added = spawn(weirBinary, ['broker', 'passwd', passwd, 'cid', '--password-stdin'], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  added.stdin.end('cid\n');
  t.equal(await new Promise((resolve) => added.once('close', resolve)), 0);
  const bob = await site.sub('x', ...as('bob'));
  t.equal((await site.run([weirBinary, 'broker', 'passwd', passwd, 'bob', '--delete']).result()).code, 0);
  await site.reload(/read anew users=2/);
  t.equal((await site.pub('x', '1', ...as('cid'))).code, 0, 'the new user comes in');
  await site.logged(/reason=disconnected detail="the user is gone/);
  t.notOk(bob.stdout.includes('x 1'), 'who is gone gets nothing more');
  t.match(await site.pub('x', '1', ...as('bob')), { code: 4 });
});

const acl = `topic read public/#

user ann
topic readwrite site/hall 1/#
topic deny site/hall 1/secret
topic write public/news

user eve
topic read #

pattern readwrite own/%u/#
pattern read box/%c
`;

t.test('ACL rules hold for writers and readers, in 3.1.1 and in 5.0', async (t) => {
  const site = open(t);
  const passwd = site.file('passwd');
  mosquittoPasswd(passwd, 'ann', 'eve', 'root');
  await site.start(...local, '--password-file', passwd, '--acl-file', site.file('acl', acl), '--allow-anonymous');
  const eve = await site.sub('#', ...as('eve'));
  const anyone = await site.sub('#');
  const rows: readonly (readonly [topic: string, who: readonly string[], passes: boolean])[] = [
    ['site/hall-1', as('ann'), false],
    ['public/news', as('ann'), true],
    ['own/ann/a', as('ann'), true],
    ['own/eve/a', as('ann'), false],
    ['site/hall 1/secret', as('ann'), false],
    ['public/news', [], false],
    ['public/news', as('eve'), false],
    ['own/eve/b', as('eve'), true],
  ];
  const passed: string[] = [];
  for (const [index, [topic, who, passes]] of rows.entries())
    for (const version of ['mqttv311', 'mqttv5']) {
      const message = `${index}-${version}`;
      const sent = await site.pub(topic, message, '-q', '1', '-V', version, ...who);
      t.equal(sent.code, 0, 'a denied publish is no error of the connection');
      if (version === 'mqttv5' && !passes) t.match(sent.stdout + sent.stderr, /not authorized/i, `${topic} is told`);
      if (passes) passed.push(`${topic} ${message}`);
    }
  await gets(eve, passed.at(-1) ?? '');
  t.same(got(eve), passed, 'eve reads everything that was allowed');
  const readable = passed.filter((line) => line.startsWith('public/'));
  await gets(anyone, readable.at(-1) ?? '');
  t.same(got(anyone), readable, 'a client without a name reads what is public');

  const box = await site.sub('box/c-9', '-i', 'c-9', ...as('ann'));
  t.notMatch(box.stdout, /128|135/, 'its own box is granted');
  const other = site.run(['mosquitto_sub', '-p', String(site.port), '-t', 'box/c-9', '-i', 'c-8', ...as('ann')]);
  t.match(await other.result(), { stderr: /denied|rejected/i }, "another one's is refused");
});

t.test('a reload changes what connected clients may do; a mistake changes nothing', async (t) => {
  const site = open(t);
  const rules = site.file('acl', 'topic readwrite a/#\n');
  await site.start(...local, '--acl-file', rules);
  const sub = await site.sub('a/#');
  await site.pub('a/1', 'one', '-q', '1');
  await gets(sub, 'a/1 one');

  site.file('acl', 'topic readwrite a/#\ntopic raed b\n');
  await site.reload(/old rules stay reason=".*acl:2: 'raed' is not an access/);
  await site.pub('a/1', 'two', '-q', '1');
  await gets(sub, 'a/1 two');

  site.file('acl', 'topic readwrite a/1\ntopic write a/2\n');
  await site.reload(/rules were read anew/);
  await site.pub('a/2', 'hidden', '-q', '1');
  await site.pub('a/1', 'three', '-q', '1');
  await gets(sub, 'a/1 three');
  t.same(got(sub), ['a/1 one', 'a/1 two', 'a/1 three'], 'what may not be read any more does not come');
  t.ok(sub.running, 'and the client is still there');
});

t.test('sessions, queued and retained messages are there after kill -9', async (t) => {
  const site = open(t);
  const args = ['--data-dir', site.file('data')];
  await site.start(...local, ...args);
  await gets(await site.sub('$SYS/broker/clients/total'), '$SYS/broker/clients/total 0');
  const session = ['-i', 'logger', '-c', '-q', '1'];
  const first = await site.sub('log/#', ...session);
  await site.pub('log/a', 'live', '-q', '1');
  await gets(first, 'log/a live');
  await first.end('SIGTERM');
  for (let index = 0; index < 20; index++) t.equal((await site.pub('log/a', `m${index}`, '-q', '1')).code, 0);
  t.equal((await site.pub('state', 'kept', '-q', '1', '-r')).code, 0);
  await site.broker?.end('SIGKILL');

  await site.start(...local, ...args, '--config', site.file('b.toml', 'sys_interval = "0s"'));
  const second = await site.sub('log/#', ...session);
  await gets(second, 'log/a m19');
  t.same(
    got(second),
    Array.from({ length: 20 }, (_, index) => `log/a m${index}`),
  );
  const all = await site.sub('#', '-t', '$SYS/#');
  await gets(all, 'state kept');
  t.same(got(all), ['state kept'], "the broker's own numbers are not kept");
});

t.test("$SYS tells mosquitto's numbers, and nobody writes there", async (t) => {
  const site = open(t);
  await site.start('--config', site.file('broker.toml', 'listen = "tcp://127.0.0.1:0"\nsys_interval = "1s"\n'));
  const sys = await site.sub('$SYS/broker/+/#');
  const version = await site.sub('$SYS/broker/version');
  await until('the version', waitMs, () =>
    /\$SYS\/broker\/version weir version \d/.test(version.stdout) ? true : undefined,
  );
  await gets(sys, '$SYS/broker/clients/connected 2');
  await site.pub('x', '12345');
  await gets(sys, '$SYS/broker/publish/messages/received 1');
  await gets(sys, '$SYS/broker/publish/bytes/received 5');
  await until('a load', waitMs, () => (/load\/messages\/received\/1min \d/.test(sys.stdout) ? true : undefined));
  const denied = await site.pub('$SYS/broker/version', 'forged', '-q', '1', '-V', '5');
  t.match(denied.stdout + denied.stderr, /not authorized/i);
  t.notMatch(version.stdout, /forged/);
});

t.test('every mistake in the configuration is told with its place, and nothing starts', async (t) => {
  const site = open(t);
  const toml = site.file(
    'b.toml',
    'listen = ["tcp://127.0.0.1:0"]\nacl_fil = "x"\n\n[limits]\nconnections_max = "many"\n',
  );
  t.match(await site.fails('--config', toml), {
    code: 1,
    stderr:
      /b\.toml:5:1: limits\.connections_max: .*\n.*b\.toml:2:1: acl_fil: unknown key\. Did you mean acl_file\?.*\[CONFIG_INVALID\]/,
  });
  t.match(await site.fails(...local, '--acl-file', site.file('acl', '\nuser\n')), {
    code: 1,
    stderr: /acl:2: there is no user name.*\[ACCESS_ACL_FILE_INVALID\]/,
  });
  t.match(await site.fails(...local, '--password-file', site.file('passwd', 'ann:plain\n')), {
    code: 1,
    stderr: /passwd:1: the password of user 'ann' is not hashed.*\[ACCESS_PASSWORD_FILE_INVALID\]/,
  });
  t.match(await site.fails('--config', site.file('m.conf', 'listener 1883\nallow_anonymous true\n')), {
    code: 1,
    stderr:
      /this is a mosquitto\.conf[\s\S]*listen = \["tcp:\/\/0\.0\.0\.0:1883"\]\n +allow_anonymous = true[\s\S]*\[CONFIG_MOSQUITTO\]/,
  });
  t.match(await site.fails('--config', site.file('none.toml')), {
    code: 1,
    stderr: /docs\/broker\.md has an example\. \[CONFIG_MISSING\]/,
  });
  t.match(await site.fails('--lisen', 'tcp://127.0.0.1:0'), { code: 2, stderr: /Did you mean --listen\?/ });
  t.match(await site.fails('--listen', 'tls://127.0.0.1:0'), { code: 1, stderr: /needs a certificate and its key/ });
  t.match(await site.fails('--listen', 'tls://127.0.0.1:0', '--tls-cert', toml, '--tls-key', toml), {
    code: 1,
    stderr: /\[STANDALONE_TLS_INVALID\]/,
  });
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  t.teardown(() => taken.close());
  const { port } = taken.address() as { port: number };
  t.match(await site.fails('--listen', `tcp://127.0.0.1:${port}`), { code: 1, stderr: /\[PLATFORM_LISTEN_FAILED\]/ });
});

function certificates(site: Site): void {
  const openssl = (...args: readonly string[]): void => {
    execFileSync('openssl', args, { cwd: site.dir, stdio: 'ignore' });
  };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=ca', '-days', '2');
  for (const name of ['localhost', 'ann']) {
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-out',
      `${name}.pem`,
      '-days',
      '2',
    );
  }
}

t.test('the name in a client certificate is the user; a renewed certificate needs no restart', async (t) => {
  const site = open(t);
  certificates(site);
  const [ca, cert, key] = ['ca.pem', 'localhost.pem', 'localhost.key'].map((name) => site.file(name)) as [
    string,
    string,
    string,
  ];
  const rules = site.file('acl', 'user ann\ntopic readwrite mine/#\n');
  await site.start(
    '--listen',
    'tls://127.0.0.1:0',
    '--tls-cert',
    cert,
    '--tls-key',
    key,
    '--tls-ca',
    ca,
    '--require-certificate',
    '--use-identity-as-username',
    '--acl-file',
    rules,
  );
  const trust = ['-h', 'localhost', '--cafile', ca];
  const ann = [...trust, '--cert', site.file('ann.pem'), '--key', site.file('ann.key')];
  const sub = await site.sub('mine/#', ...ann);
  t.equal((await site.pub('mine/a', 'hi', '-q', '1', ...ann)).code, 0);
  await gets(sub, 'mine/a hi');
  t.not((await site.pub('mine/a', 'hi', ...trust)).code, 0, 'without a certificate nobody comes in');

  const before = readFileSync(cert, 'utf8');
  appendFileSync(cert, 'damaged');
  writeFileSync(cert, 'damaged');
  await site.reload(/old certificate stays/);
  t.equal((await site.pub('mine/a', 'again', '-q', '1', ...ann)).code, 0);
  writeFileSync(cert, before);
  await site.reload(/rules were read anew[\s\S]*rules were read anew/);
  t.equal((await site.pub('mine/a', 'renewed', '-q', '1', ...ann)).code, 0);
  await gets(sub, 'mine/a renewed');
});

t.test('several listeners serve at once, WebSocket and a unix socket among them', async (t) => {
  const site = open(t);
  const socket = site.file('mqtt.sock');
  await site.start(...local, '--listen', 'ws://127.0.0.1:0', `unix://${socket}`);
  const [, web, unix] = site.ready.listeners;
  t.equal(unix, `unix://${socket}`);
  t.match(web, /^ws:\/\/127\.0\.0\.1:\d+$/);
  const key = 'dGhlIHNhbXBsZSBub25jZQ==';
  const headers = {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': key,
    'Sec-WebSocket-Protocol': 'mqtt',
  };
  const upgraded = await new Promise<Record<string, unknown>>((resolve, reject) => {
    const asked = request(`${web?.replace('ws:', 'http:')}/mqtt`, { headers });
    asked.once('upgrade', (answer, stream) => {
      stream.destroy();
      resolve(answer.headers);
    });
    asked.once('error', reject);
    asked.end();
  });
  t.match(upgraded, {
    'sec-websocket-accept': 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
    'sec-websocket-protocol': 'mqtt',
  });
  const stream = connect({ path: socket });
  t.teardown(() => stream.destroy());
  // CONNECT of 3.1.1 as `u`, clean; and its CONNACK.
  stream.write(Buffer.from('100d00044d51545404020000000175', 'hex'));
  const [answer] = (await once(stream, 'data')) as [Buffer];
  t.equal(answer.toString('hex'), '20020000');
});

t.test('SIGTERM ends it in order: clients of 5.0 are told', async (t) => {
  const site = open(t);
  await site.start(...local);
  const sub = await site.sub('x', '-V', '5');
  const ended = site.broker?.end('SIGTERM');
  await until('the reason', waitMs, () =>
    /DISCONNECT \(139\)|server shutting down/i.test(sub.stdout + sub.stderr) ? true : undefined,
  );
  await ended;
  t.match(await site.broker?.result(), { code: 0 });
});
