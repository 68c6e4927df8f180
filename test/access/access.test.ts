// Files that are read at the start and again: mistakes refuse a start and leave a running broker its rules.

import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Access, type AccessOptions } from '../../src/access/access.ts';
import { removeUser, setUser } from '../../src/access/user-editor.ts';
import { systemDisk } from '../../src/platform/disk.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

const disk = systemDisk();
const entropy = seededEntropy(7);

function place(t: Test) {
  const dir = t.testdir({});
  const clock = new SimClock();
  const { log, lines } = keptLog(clock);
  const options: AccessOptions = {
    passwordFile: join(dir, 'passwd'),
    aclFile: join(dir, 'acl'),
    allowsAnonymous: () => false,
    certificateIsUser: false,
  };
  const load = (more: Partial<AccessOptions> = {}): Promise<Access> =>
    Access.load({ clock, disk, entropy, log, metrics: createMetrics() }, { ...options, ...more });
  return { clock, dir, lines, load, passwd: join(dir, 'passwd'), acl: join(dir, 'acl') };
}

const enter = (access: Access, username: string, password: string) =>
  access.credentials.authenticate({
    clientId: 'c',
    username,
    password: Buffer.from(password),
    listener: 'tcp',
    remote: () => '10.0.0.1:1',
  });

t.test('users are added, changed and removed in a file that only its owner reads', async (t) => {
  const { passwd, acl, load, dir } = place(t);
  t.equal(await setUser({ disk, entropy }, passwd, { user: 'ann', password: 'one' }), 'added');
  t.equal(await setUser({ disk, entropy }, passwd, { user: 'bob', password: 'two' }), 'added');
  t.equal(await setUser({ disk, entropy }, passwd, { user: 'ann', password: 'three' }), 'changed');
  t.equal(statSync(passwd).mode & 0o777, 0o600);
  t.match(readFileSync(passwd, 'utf8'), /^ann:\$7\$10000\$\S+\nbob:\$7\$10000\$\S+\n$/);
  writeFileSync(acl, '');
  const access = await load();
  t.ok((await enter(access, 'ann', 'three')).admitted);
  t.ok((await enter(access, 'bob', 'two')).admitted);
  await removeUser({ disk, entropy }, passwd, 'bob');
  t.match(readFileSync(passwd, 'utf8'), /^ann:\S+\n$/);
  await t.rejects(removeUser({ disk, entropy }, passwd, 'bob'), { code: 'ACCESS_USER_UNKNOWN' });
  await t.rejects(removeUser({ disk, entropy }, join(dir, 'none'), 'bob'), { code: 'ACCESS_FILE_UNREADABLE' });
  for (const user of ['', 'a:b', '#a', ' a', 'a\n', '(anonymous)'])
    await t.rejects(setUser({ disk, entropy }, passwd, { user, password: 'x' }), { code: 'ACCESS_USER_INVALID' });
  await t.rejects(setUser({ disk, entropy }, passwd, { user: 'a', password: '' }), { code: 'ACCESS_USER_INVALID' });
});

t.test('a start with mistakes is refused, each with file and line', async (t) => {
  const { passwd, acl, load, dir } = place(t);
  await t.rejects(load(), { code: 'ACCESS_FILE_UNREADABLE', message: /passwd cannot be used: there is no such file/ });
  writeFileSync(passwd, 'ann\nbob:plain\n');
  await t.rejects(load(), {
    code: 'ACCESS_PASSWORD_FILE_INVALID',
    message: /passwd:1: there is no user name.*\n.*passwd:2: the password of user 'bob' is not hashed\./,
  });
  writeFileSync(passwd, '');
  writeFileSync(acl, 'topic raed x\n');
  await t.rejects(load(), { code: 'ACCESS_ACL_FILE_INVALID', message: /acl:1: 'raed' is not an access/ });
  mkdirSync(join(dir, 'folder'));
  await t.rejects(load({ aclFile: join(dir, 'folder') }), { code: 'ACCESS_FILE_UNREADABLE', message: /directory/ });
});

t.test('a reload replaces both files, and tells whose credentials changed', async (t) => {
  const { passwd, acl, load, lines } = place(t);
  for (const user of ['ann', 'bob', 'cid']) await setUser({ disk, entropy }, passwd, { user, password: user });
  writeFileSync(acl, 'user ann\ntopic read a\n');
  const access = await load();
  const ann = { name: 'ann', clientId: 'c' };
  t.ok(access.authoriser.mayReceive(ann, 'a'));
  await setUser({ disk, entropy }, passwd, { user: 'bob', password: 'new' });
  await removeUser({ disk, entropy }, passwd, 'cid');
  writeFileSync(acl, 'user ann\ntopic read b\n');
  t.same([...((await access.reload()) ?? [])], ['bob', 'cid']);
  t.notOk(access.authoriser.mayReceive(ann, 'a'));
  t.ok(access.authoriser.mayReceive(ann, 'b'));
  t.ok((await enter(access, 'bob', 'new')).admitted);
  t.ok(lines.some((line) => /read anew users=2 userSections=1 changed=2/.test(line)));
});

t.test('a reload with a mistake changes nothing and logs the line', async (t) => {
  const { passwd, acl, load, lines } = place(t);
  await setUser({ disk, entropy }, passwd, { user: 'ann', password: 'ann' });
  writeFileSync(acl, 'user ann\ntopic read a\n');
  const access = await load();
  const { epoch } = access.authoriser;
  writeFileSync(acl, 'user ann\ntopic read b\ntopic reed c\n');
  await setUser({ disk, entropy }, passwd, { user: 'ann', password: 'new' });
  t.equal(await access.reload(), undefined);
  t.equal(access.authoriser.epoch, epoch);
  t.ok(access.authoriser.mayReceive({ name: 'ann', clientId: 'c' }, 'a'));
  t.ok((await enter(access, 'ann', 'ann')).admitted, 'the old password, too');
  t.ok(lines.some((line) => /the old rules stay reason=".*acl:3: 'reed' is not an access/.test(line)));
});

t.test('what is denied is logged, but nobody can flood the log with it', async (t) => {
  const { passwd, acl, load, lines, clock } = place(t);
  writeFileSync(passwd, '');
  writeFileSync(acl, 'user ann\ntopic read a\n');
  const { authoriser } = await load();
  const ann = { name: 'ann', clientId: 'c7' };
  for (let count = 0; count < 1000; count++) authoriser.mayPublish(ann, 'b');
  authoriser.maySubscribe(ann, 'c');
  authoriser.mayReceive(ann, 'd');
  const denials = (): string[] => lines.filter((line) => line.includes('denied by the rules'));
  t.equal(denials().length, 1);
  t.match(denials()[0], /publish denied by the rules client=c7 user=ann topic=b leftOut=0/);
  await clock.advance(10_000);
  authoriser.maySubscribe(ann, 'c');
  t.match(denials()[1], /subscription denied by the rules client=c7 user=ann topic=c leftOut=1000/);
});

t.test('a password file that everybody can read is warned about', async (t) => {
  const { passwd, load, lines } = place(t);
  writeFileSync(passwd, '');
  chmodSync(passwd, 0o644);
  await load({ aclFile: undefined });
  t.ok(lines.some((line) => /warn .*chmod 600/.test(line)));
});
