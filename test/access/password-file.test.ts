// Password files: what mosquitto_passwd wrote is read, every mistake has its line, and edits touch one line.

import t from 'tap';
import { parsePasswordFile, withoutUser, withUser } from '../../src/access/password-file.ts';
import { hashPassword, passwordMatches, readPasswordHash } from '../../src/access/password-hash.ts';

/** alice and bob were written by mosquitto_passwd 2.0.11, carol has the older form. */
const ofMosquitto = `# the plant
alice:$7$101$NO8LAk1DgkxUvMht$5qEHyDQmxVuHxy9grVyH8GoVZndxvx5k9OCXkAqQspQVkz/SWuErFJFnOoC0j6IFff8VCTTeo2du0e6I3Xakvw==
bob:$7$101$gWB5YpQ8acPSuF0F$DKSA7taGa7mz9HtKhDP7dlajBgj4izJ51ySU6ylLMqYYb+E7qcMfAd2p+XQLwVDj/FMZw335ZA3bPNPFnbIrgQ==

carol:$6$MDEyMzQ1Njc4OWFi$rbGb4B9A3hTEwMlcnfBlE31zwGY56POw5/mw5uIz3UZNskG17kkfB86+tm+zJdgamMXu0GeUpkNhTX0q6hvOug==
`;

const matches = async (user: string, password: string): Promise<boolean> => {
  const hash = parsePasswordFile(ofMosquitto).users.get(user);
  return hash !== undefined && passwordMatches(Buffer.from(password), hash);
};

t.test('hashes of mosquitto_passwd are checked, the older form too', async (t) => {
  t.same(parsePasswordFile(ofMosquitto).problems, []);
  t.ok(await matches('alice', 'secret'));
  t.ok(await matches('bob', 'pa:ss word'));
  t.ok(await matches('carol', 'old'));
  t.notOk(await matches('alice', 'Secret'));
  t.notOk(await matches('alice', ''));
  t.notOk(await matches('carol', 'new'));
});

t.test('what weir hashes it checks', async (t) => {
  const text = await hashPassword(Buffer.from('grüße'), { salt: Buffer.from('salt'), iterations: 7 });
  t.match(text, /^\$7\$7\$c2FsdA==\$[A-Za-z0-9+/]{86}==$/);
  const reading = readPasswordHash(text);
  t.ok(reading.ok && (await passwordMatches(Buffer.from('grüße'), reading.hash)));
  t.notOk(reading.ok && (await passwordMatches(Buffer.from('grusse'), reading.hash)));
});

t.test('each mistake is told with its line and its mend, and shows no hash', (t) => {
  const hash = ofMosquitto.split('\n')[1]?.slice('alice:'.length) ?? '';
  const rows: readonly (readonly [line: string, message: RegExp, mend: RegExp])[] = [
    ['no colon here', /no user name/, /user:hash/],
    [`:${hash}`, /no user name/, /user:hash/],
    [`(anonymous):${hash}`, /no user name/, /user:hash/],
    ['dave:plain', /'dave' is not hashed/, /weir broker passwd FILE dave/],
    ['dave:', /'dave' is not hashed/, /passwd/],
    ['dave:$argon2id$v=19$m=47104,t=1,p=1$c2FsdA$aGFzaA', /'dave' is hashed with argon2id, which/, /passwd FILE dave/],
    ['dave:$9$c2FsdA==$aGFzaA==', /'dave' has a hash of the unknown kind \$9\$/, /passwd/],
    ['dave:$7$0$c2FsdA==$aGFzaA==', /iterations is not from 1 to 10000000/, /passwd/],
    ['dave:$7$99999999$c2FsdA==$aGFzaA==', /iterations/, /passwd/],
    ['dave:$7$101$c2FsdA==$aGFzaA==', /cut or damaged/, /passwd/],
    ['dave:$7$101$c2FsdA==', /cut or damaged/, /passwd/],
    ['dave:$6$c2FsdA==$a b$', /cut or damaged/, /passwd/],
    [`alice:${hash}`, /'alice' stands in an earlier line/, /Remove one/],
  ];
  for (const [line, message, mend] of rows) {
    const { problems, users } = parsePasswordFile(`${ofMosquitto}${line}\n`);
    t.equal(problems.length, 1, line);
    t.match(problems[0], { line: 6, message, mend });
    t.equal(users.size, 3, 'the others are read');
  }
  t.end();
});

t.test('an edit changes the line of its user, and leaves comments and others as they are', (t) => {
  const text = '# head\nalice:$x\n\nbob:$y\n';
  t.equal(withUser(text, 'alice', '$z'), '# head\nalice:$z\n\nbob:$y\n');
  t.equal(withUser(text, 'carol', '$z'), '# head\nalice:$x\n\nbob:$y\ncarol:$z\n');
  t.equal(withUser('', 'carol', '$z'), 'carol:$z\n');
  t.equal(withUser('bob:$y', 'carol', '$z'), 'bob:$y\ncarol:$z\n', 'a file without a last line end');
  t.equal(withoutUser(text, 'bob'), '# head\nalice:$x\n\n');
  t.equal(withoutUser('bob:$y\n', 'bob'), '');
  t.equal(withoutUser(text, '# head'), undefined);
  t.end();
});
