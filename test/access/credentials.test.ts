// Who comes in: certificate, password, nobody; what is remembered, what waits, what an address that guesses gets.

import t from 'tap';
import { type CredentialRules, Credentials } from '../../src/access/credentials.ts';
import { hashPassword, type PasswordHash, readPasswordHash } from '../../src/access/password-hash.ts';
import type { Attempt } from '../../src/access/ports.ts';
import { accessChecksWaitingMax, accessRefusalsPendingMax } from '../../src/limits.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { SimClock } from '../support/sim-clock.ts';

async function hashOf(password: string): Promise<PasswordHash> {
  const reading = readPasswordHash(await hashPassword(Buffer.from(password), { salt: Buffer.alloc(8), iterations: 2 }));
  if (!reading.ok) throw new Error(reading.reason);
  return reading.hash;
}

async function open(rules: Partial<CredentialRules> = {}) {
  const clock = new SimClock();
  const metrics = createMetrics();
  const usual: CredentialRules = {
    users: new Map([['ann', await hashOf('right')]]),
    allowsAnonymous: () => false,
    certificateIsUser: false,
  };
  const credentials = new Credentials({ clock, metrics, cacheKey: Buffer.alloc(32, 1) }, { ...usual, ...rules });
  const count = (name: string): number =>
    metrics.snapshot().find((sample) => sample.name === `weir_access_${name}`)?.value ?? 0;
  return { clock, credentials, count, usual };
}

const attempt = (more: Partial<Attempt> & { readonly pass?: string } = {}): Attempt => ({
  clientId: 'c1',
  username: 'ann',
  password: more.pass === undefined ? undefined : Buffer.from(more.pass),
  listener: 'tcp',
  remote: () => '10.0.0.7:1000',
  ...more,
});

/** Lets hashes be computed, and the delays pass. */
async function settled<Value>(clock: SimClock, promise: Value | Promise<Value>): Promise<Value> {
  let isDone = false;
  void Promise.resolve(promise).finally(() => {
    isDone = true;
  });
  while (!isDone) {
    await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(50);
  }
  return promise;
}

t.test('the right password comes in under its name, and is hashed once', async (t) => {
  const { credentials, count } = await open();
  for (let turn = 0; turn < 3; turn++)
    t.match(await credentials.authenticate(attempt({ pass: 'right' })), {
      admitted: true,
      principal: { name: 'ann', clientId: 'c1', identity: undefined },
    });
  t.equal(count('hashes_total'), 1);
  t.equal(count('remembered_total'), 2);
});

t.test('a storm of the same credentials is one hash', async (t) => {
  const { credentials, count } = await open();
  const storm = Array.from({ length: 500 }, (_, index) =>
    credentials.authenticate(attempt({ pass: 'right', clientId: `c${index}` })),
  );
  t.ok((await Promise.all(storm)).every((decision) => decision.admitted));
  t.equal(count('hashes_total'), 1);
});

t.test('a wrong password, no password and an unknown user are refused alike', async (t) => {
  const { credentials, clock, count } = await open();
  for (const more of [{ pass: 'wrong' }, {}, { username: 'bob', pass: 'right' }])
    t.match(await settled(clock, credentials.authenticate(attempt(more))), {
      admitted: false,
      reason: 'bad-credentials',
    });
  t.equal(count('hashes_total'), 3, 'the unknown one costs a hash, too');
  t.equal(count('failures_total'), 3);
});

t.test('each failure of an address is answered later than the one before, until it is forgiven', async (t) => {
  const { credentials, clock } = await open({ users: undefined });
  const fail = async (): Promise<number> => {
    const from = clock.monotonicMs();
    await settled(clock, credentials.authenticate(attempt()));
    return clock.monotonicMs() - from;
  };
  const delays = [await fail(), await fail(), await fail(), await fail(), await fail(), await fail()];
  t.same(
    delays.map((delayMs) => Math.round(delayMs / 250)),
    [1, 2, 4, 8, 16, 16],
  );
  await clock.advance(60_000);
  t.equal(Math.round((await fail()) / 250), 1);
});

t.test('an address that guesses with many connections is not even checked, others are', async (t) => {
  const { credentials, clock, count } = await open();
  const guesses = Array.from({ length: accessRefusalsPendingMax }, (_, index) =>
    credentials.authenticate(attempt({ pass: `guess ${index}` })),
  );
  while (count('failures_total') < accessRefusalsPendingMax) await new Promise((resolve) => setImmediate(resolve));
  t.match(await credentials.authenticate(attempt({ pass: 'right', remote: () => '10.0.0.7:2000' })), {
    admitted: false,
    reason: 'unavailable',
  });
  t.match(await credentials.authenticate(attempt({ pass: 'right', remote: () => '10.0.0.8:2000' })), {
    admitted: true,
  });
  t.match(
    await credentials.authenticate(attempt({ pass: 'right', remote: () => '10.0.0.7:2000' })),
    { admitted: true },
    'what is known to be right comes in from everywhere',
  );
  t.equal(count('busy_total'), 1);
  await settled(clock, Promise.all(guesses));
});

t.test('passwords that cannot be checked soon are refused for now', async (t) => {
  const { credentials, clock } = await open();
  const running = Array.from({ length: accessChecksWaitingMax + 100 }, (_, index) =>
    credentials.authenticate(attempt({ pass: `p${index}`, remote: () => `10.${index >> 8}.0.${index & 255}:1` })),
  );
  const reasons = (await settled(clock, Promise.all(running))).map((decision) =>
    decision.admitted ? '' : decision.reason,
  );
  t.ok(reasons.includes('unavailable'));
  t.ok(reasons.filter((reason) => reason === 'bad-credentials').length >= accessChecksWaitingMax);
});

t.test('a changed file holds at once, also for what was remembered', async (t) => {
  const { credentials, clock, usual } = await open();
  t.ok((await credentials.authenticate(attempt({ pass: 'right' }))).admitted);
  credentials.replace({ ...usual, users: new Map([['ann', await hashOf('new')]]) });
  t.notOk((await settled(clock, credentials.authenticate(attempt({ pass: 'right' })))).admitted);
  t.ok((await credentials.authenticate(attempt({ pass: 'new' }))).admitted);
});

t.test('a file that changes while a password is checked is not overlooked', async (t) => {
  const { credentials, usual } = await open();
  const checking = credentials.authenticate(attempt({ pass: 'right' }));
  credentials.replace({ ...usual, users: new Map() });
  t.match(await checking, { admitted: false, reason: 'unavailable' });
});

t.test('without a user name a client comes in where its listener allows it', async (t) => {
  const { credentials, clock } = await open({ allowsAnonymous: (listener) => listener === 'local' });
  t.match(await credentials.authenticate(attempt({ username: undefined, listener: 'local' })), {
    admitted: true,
    principal: { name: '(anonymous)' },
  });
  t.match(await settled(clock, credentials.authenticate(attempt({ username: undefined }))), {
    reason: 'not-authorized',
  });
  t.match(
    await settled(clock, credentials.authenticate(attempt({ username: '(anonymous)', listener: 'local' }))),
    { admitted: false },
    'nobody can claim to be nobody',
  );
  t.notOk(
    (await settled(clock, credentials.authenticate(attempt({ username: 'ann', pass: 'x', listener: 'local' }))))
      .admitted,
    'a name that is given is checked',
  );
});

t.test('without a password file a name counts as given, where anonymous clients are allowed', async (t) => {
  const { credentials, clock } = await open({ users: undefined, allowsAnonymous: (listener) => listener === 'local' });
  t.match(await credentials.authenticate(attempt({ listener: 'local' })), {
    admitted: true,
    principal: { name: 'ann' },
  });
  t.match(await settled(clock, credentials.authenticate(attempt())), { admitted: false, reason: 'not-authorized' });
});

t.test('the name in a verified certificate is the user, when it is to be', async (t) => {
  const { credentials, clock } = await open({ certificateIsUser: true });
  t.match(await credentials.authenticate(attempt({ certificateName: 'press-4', username: undefined })), {
    admitted: true,
    principal: { name: 'press-4' },
  });
  t.match(await credentials.authenticate(attempt({ certificateName: '' })), { reason: 'not-authorized' });
  const { credentials: other } = await open();
  t.match(await settled(clock, other.authenticate(attempt({ certificateName: 'press-4', pass: 'right' }))), {
    principal: { name: 'ann' },
  });
});
