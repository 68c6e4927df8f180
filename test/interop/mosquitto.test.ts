// mosquitto's own clients against the executable: over TCP, TLS and a unix socket, in all versions they speak.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Program, type ProgramResult, until } from '../support/world/program.ts';
import { StandaloneBroker, type Transport } from '../support/world/standalone.ts';
import { readyMs } from '../support/world/world.ts';

const waitMs = readyMs;
const transports = ['tcp', 'tls', 'unix'] as const;
const versions = ['mqttv31', 'mqttv311', 'mqttv5'] as const;
const largeBytes = 262_144;

/** mosquitto's clients at one listener, in one version. */
class Clients {
  readonly #broker: StandaloneBroker;
  readonly #common: readonly string[];
  readonly #started = new Set<Program>();

  constructor(t: Test, broker: StandaloneBroker, options: { transport: Transport; version: string }) {
    this.#broker = broker;
    this.#common = [...this.#where(options.transport), '-V', options.version];
    t.teardown(() => this.#end());
  }

  pub(...args: readonly string[]): Promise<ProgramResult> {
    return this.run('mosquitto_pub', ...args).result();
  }

  /** Subscribed when this resolves; its output is `topic qos retain payload`, a line a message. */
  async sub(...args: readonly string[]): Promise<Program> {
    const program = this.run('mosquitto_sub', '-d', '-F', '= %t %q %r %p', ...args);
    await until(`the SUBACK in ${program.stdout}`, waitMs, () => /Subscribed/.test(program.stdout) || undefined);
    return program;
  }

  run(client: string, ...args: readonly string[]): Program {
    const program = new Program(['stdbuf', '-oL', client, ...this.#common, ...args], {});
    this.#started.add(program);
    return program;
  }

  #where(transport: Transport): readonly string[] {
    if (transport === 'unix') return ['--unix', this.#broker.unixPath];
    const to = ['-h', 'localhost', '-p', String(this.#broker.port(transport))];
    return transport === 'tls' ? [...to, '--cafile', this.#broker.certificates.authority] : to;
  }

  async #end(): Promise<void> {
    for (const program of this.#started) await program.end('SIGKILL');
  }
}

const got = (program: Program): string[] =>
  program.stdout
    .split('\n')
    // The last one may not be whole yet.
    .slice(0, -1)
    .filter((line) => line.startsWith('= '))
    .map((line) => line.slice(2));

function has(program: Program, count: number): Promise<string[]> {
  return until(`${count} messages`, waitMs, () => (got(program).length >= count ? got(program) : undefined));
}

async function bothWays(t: Test, clients: Clients): Promise<void> {
  const sub = await clients.sub('-t', 'q/#', '-q', '2');
  for (const qos of ['0', '1', '2']) t.equal((await clients.pub('-t', `q/${qos}`, '-m', 'hi', '-q', qos)).code, 0);
  t.same(await has(sub, 3), ['q/0 0 0 hi', 'q/1 1 0 hi', 'q/2 2 0 hi']);
}

async function retainedAndWill(t: Test, clients: Clients): Promise<void> {
  await clients.pub('-t', 'state/a', '-m', 'on', '-q', '1', '-r');
  const late = await clients.sub('-t', 'state/#', '-t', 'lost/#', '-q', '1');
  t.same(await has(late, 1), ['state/a 1 1 on']);
  const will = ['--will-topic', 'lost/a', '--will-payload', 'gone', '--will-qos', '1'];
  const dying = await clients.sub('-t', 'x', ...will);
  await dying.end('SIGKILL');
  t.same(await has(late, 2), ['state/a 1 1 on', 'lost/a 1 0 gone']);
  await clients.pub('-t', 'state/a', '-n', '-q', '1', '-r');
}

async function persistent(t: Test, clients: Clients, id: string): Promise<void> {
  const session = ['-t', 'log/a', '-q', '1', '-i', id, '-c'];
  const first = await clients.sub(...session);
  await first.end('SIGTERM');
  const lines = Array.from({ length: 8 }, (_, index) => `m${index}`);
  for (const line of lines) t.equal((await clients.pub('-t', 'log/a', '-q', '1', '-m', line)).code, 0);
  const second = await clients.sub(...session);
  t.same(
    await has(second, lines.length),
    lines.map((line) => `log/a 1 0 ${line}`),
  );
  await second.end('SIGTERM');
}

async function large(t: Test, clients: Clients, broker: StandaloneBroker): Promise<void> {
  const file = join(broker.directory, 'large');
  const text = 'weir'.repeat(largeBytes / 4);
  writeFileSync(file, text);
  const sub = await clients.sub('-t', 'large', '-q', '1');
  t.equal((await clients.pub('-t', 'large', '-f', file, '-q', '1')).code, 0);
  t.ok((await has(sub, 1))[0]?.endsWith(` ${text}`), 'comes whole');
}

async function shared(t: Test, clients: Clients): Promise<void> {
  const members = [
    await clients.sub('-t', '$share/crew/work', '-q', '1'),
    await clients.sub('-t', '$share/crew/work', '-q', '1'),
  ];
  for (let job = 0; job < 6; job++) await clients.pub('-t', 'work', '-m', `job${job}`, '-q', '1');
  const taken = (await Promise.all(members.map((member) => has(member, 3)))).flat().sort();
  t.same(
    taken,
    Array.from({ length: 6 }, (_, job) => `work 1 0 job${job}`),
    'each job goes to one of them',
  );
}

async function requestAndResponse(t: Test, clients: Clients): Promise<void> {
  const service = await clients.sub('-t', 'ask', '-q', '1', '-F', '= %R %D %p');
  const asker = clients.run(
    'mosquitto_rr',
    '-t',
    'ask',
    '-e',
    'answer/1',
    '-m',
    'how?',
    '-q',
    '1',
    '-D',
    'publish',
    'correlation-data',
    'c7',
  );
  const [asked = ''] = await has(service, 1);
  t.equal(asked, 'answer/1 c7 how?', 'the request says where the answer belongs');
  const [topic = ''] = asked.split(' ');
  await clients.pub('-t', topic, '-m', 'so!', '-q', '1', '-D', 'publish', 'correlation-data', 'c7');
  t.match(await asker.result(), { code: 0, stdout: /so!/ });
}

t.test("mosquitto's clients do all they can", async (t) => {
  const broker = await StandaloneBroker.start(t, { listen: transports, durable: true });
  for (const transport of transports)
    for (const version of versions)
      await t.test(`${transport}, ${version}`, async (t) => {
        const clients = new Clients(t, broker, { transport, version });
        await bothWays(t, clients);
        await retainedAndWill(t, clients);
        await persistent(t, clients, `s-${transport}-${version}`.slice(0, 23));
        await large(t, clients, broker);
        await shared(t, clients);
        if (version === 'mqttv5') await requestAndResponse(t, clients);
      });
});

t.test('a client certificate is asked for and believed', async (t) => {
  const args = ['--require-certificate', '--use-identity-as-username'];
  const broker = await StandaloneBroker.start(t, { listen: ['tls'], args });
  const { clientCertificate, clientKey, clientName } = broker.certificates;
  for (const version of versions) {
    const clients = new Clients(t, broker, { transport: 'tls', version });
    t.not((await clients.pub('-t', 'a', '-m', 'x')).code, 0, 'without one nobody comes in');
    t.equal(
      (await clients.pub('-t', 'a', '-m', 'x', '-q', '1', '--cert', clientCertificate, '--key', clientKey)).code,
      0,
    );
  }
  await broker.logged(new RegExp(`principal=${clientName}`));
});
