import { createHmac } from 'node:crypto';
import t from 'tap';
import { DeviceKey } from '../../src/identity/device-key.ts';
import { loadOrCreateDeviceKey } from '../../src/identity/key-file.ts';
import { ModuleKeys } from '../../src/identity/module-keys.ts';
import { systemDisk } from '../../src/platform/disk.ts';
import { createLog } from '../../src/platform/log.ts';
import { SimClock } from '../support/sim-clock.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

const keyBytes = Buffer.from('0123456789abcdef0123456789abcdef');
const deviceKey = new DeviceKey(keyBytes.toString('base64'));
const iv = Buffer.from('twelve bytes');

t.test('the device key signs with HMAC-SHA256', (t) => {
  t.equal(deviceKey.sign('data'), createHmac('sha256', keyBytes).update('data').digest('base64'));
  t.end();
});

t.test('a text that is no key is refused without being quoted', (t) => {
  for (const text of ['', 'not base64!', 'c2hvcnQ=', `${keyBytes.toString('base64')}\n`]) {
    t.throws(() => new DeviceKey(text), { code: 'IDENTITY_KEY_INVALID' });
  }
  try {
    new DeviceKey('my secret!');
    t.fail('accepted');
  } catch (error) {
    t.notMatch(String(error), /secret/);
  }
  t.end();
});

t.test('every module, generation and purpose has a key of its own, the same each time', (t) => {
  const again = new DeviceKey(keyBytes.toString('base64'));
  t.same(deviceKey.moduleKey('m', '1'), again.moduleKey('m', '1'));
  const keys = [
    deviceKey.moduleKey('m', '1'),
    deviceKey.moduleKey('m', '2'),
    deviceKey.moduleKey('m1', ''),
    deviceKey.moduleKey('n', '1'),
    deviceKey.moduleKey('m', '1', 'encrypt'),
    keyBytes,
  ];
  t.equal(new Set(keys.map((key) => key.toString('hex'))).size, keys.length);
  t.end();
});

t.test('a module signs with its own key', (t) => {
  const digest = new ModuleKeys(deviceKey).sign('m', '1', Buffer.from('data'));
  t.equal(digest, createHmac('sha256', deviceKey.moduleKey('m', '1')).update('data').digest('base64'));
  t.end();
});

t.test('what a module encrypts it decrypts, also after a restart; nobody else does', (t) => {
  const plain = Buffer.from('the recipe');
  const ciphertext = new ModuleKeys(deviceKey).encrypt('m', '1', { plaintext: plain, initializationVector: iv });
  t.notOk(ciphertext.includes(plain));
  const keys = new ModuleKeys(new DeviceKey(keyBytes.toString('base64')));
  const decrypt = (text: Buffer, moduleId = 'm', initializationVector = iv): Buffer =>
    keys.decrypt(moduleId, '1', { ciphertext: text, initializationVector });
  t.same(decrypt(ciphertext), plain);
  t.same(decrypt(keys.encrypt('m', '1', { plaintext: Buffer.alloc(0), initializationVector: iv })), Buffer.alloc(0));
  const changed = Buffer.from(ciphertext);
  changed[changed.length - 1] = (changed[changed.length - 1] ?? 0) ^ 1;
  const bad = { code: 'IDENTITY_CIPHERTEXT_INVALID' };
  t.throws(() => decrypt(changed), bad, 'changed');
  t.throws(() => decrypt(ciphertext, 'n'), bad, 'another module');
  t.throws(() => decrypt(ciphertext, 'm', Buffer.from('other vector')), bad, 'another vector');
  t.throws(() => decrypt(ciphertext.subarray(0, 10)), bad, 'cut short');
  t.throws(() => decrypt(Buffer.concat([Buffer.from([2]), ciphertext.subarray(1)])), bad, 'unknown version');
  t.end();
});

t.test('a key file is made once, is private, and is replaced when damaged', async (t) => {
  const path = `${t.testdir()}/device.key`;
  const disk = systemDisk();
  const log = createLog({ clock: new SimClock(), level: 'error', write: () => undefined });
  const first = await loadOrCreateDeviceKey({ disk, entropy: seededEntropy(1), log }, path);
  const second = await loadOrCreateDeviceKey({ disk, entropy: seededEntropy(2), log }, path);
  t.equal(first.sign('x'), second.sign('x'));
  t.equal((await disk.facts('test', path))?.mode, 0o600);
  await disk.writeFileAtomic('test', path, { data: 'rubbish' });
  const third = await loadOrCreateDeviceKey({ disk, entropy: seededEntropy(3), log }, path);
  t.not(third.sign('x'), first.sign('x'));
  t.equal(await disk.readTextIfPresent('test', `${path}.damaged`), 'rubbish');
});
