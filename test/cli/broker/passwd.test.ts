// `weir broker passwd` as a person types it.

import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parsePasswordFile } from '../../../src/access/password-file.ts';
import { passwordMatches } from '../../../src/access/password-hash.ts';
import { runCli } from '../../../src/cli/index.ts';
import { recordedContext } from '../../support/cli-context.ts';

async function passwd(typed: readonly string[], ...args: readonly string[]) {
  const context = recordedContext({ typed });
  const code = await runCli(['broker', 'passwd', ...args], context);
  return { code, out: context.out(), err: context.err() };
}

async function isPassword(file: string, user: string, password: string): Promise<boolean> {
  const { users, problems } = parsePasswordFile(readFileSync(file, 'utf8'));
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  const hash = users.get(user);
  return hash !== undefined && passwordMatches(Buffer.from(password), hash);
}

t.test('the password is asked for twice and stands in the file as a hash', async (t) => {
  const file = join(t.testdir({}), 'passwd');
  const added = await passwd(['geheim', 'geheim'], file, 'plc-1');
  t.match(added, {
    code: 0,
    out: /^User 'plc-1' is added to .* SIGHUP\.\n$/,
    err: /Password of plc-1: \nThe same again/,
  });
  t.ok(await isPassword(file, 'plc-1', 'geheim'));
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.match(await passwd(['neu', 'neu'], file, 'plc-1'), { code: 0, out: /has a new password/ });
  t.ok(await isPassword(file, 'plc-1', 'neu'));
});

t.test('what does not match, is empty or missing changes nothing', async (t) => {
  const file = join(t.testdir({}), 'passwd');
  t.match(await passwd(['one', 'two'], file, 'u'), { code: 2, err: /The two passwords differ/ });
  t.match(await passwd([], file, 'u'), { code: 2, err: /No password was given/ });
  t.match(await passwd(['', ''], file, 'u'), { code: 1, err: /password is empty.*\[ACCESS_USER_INVALID\]/ });
  t.match(await passwd(['x', 'x'], file, 'a:b'), {
    code: 1,
    err: /'a:b' cannot be a user name.*\[ACCESS_USER_INVALID\]/,
  });
  t.match(await passwd(['x'], file), { code: 2, err: /See: weir broker/ });
  t.notOk(existsSync(file));
});

t.test('a script gives one line; a name that looks like a number stays a name', async (t) => {
  const file = join(t.testdir({}), 'passwd');
  t.match(await passwd(['secret'], file, '0042', '--password-stdin'), { code: 0, out: /User '0042' is added/ });
  t.ok(await isPassword(file, '0042', 'secret'));
});

t.test('a user is removed', async (t) => {
  const file = join(t.testdir({}), 'passwd');
  await passwd(['x', 'x'], file, 'u');
  t.match(await passwd([], file, 'u', '--delete'), { code: 0, out: /User 'u' is removed/ });
  t.equal(readFileSync(file, 'utf8'), '');
  t.match(await passwd([], file, 'u', '--delete'), { code: 1, err: /no user 'u'.*\[ACCESS_USER_UNKNOWN\]/ });
  t.match(await passwd([], `${file}x`, 'u', '--delete'), { code: 1, err: /\[ACCESS_FILE_UNREADABLE\]/ });
  t.match(await passwd([], file, 'u', '--delete', '--password-stdin'), { code: 2, err: /needs no password/ });
});
