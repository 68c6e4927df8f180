import { createHmac } from 'node:crypto';
import { createRequire } from 'node:module';
import t from 'tap';
import { signToken, verifyToken } from '../../src/identity/sas-token.ts';
import { sasResource } from '../../src/protocol/iothub/sas.ts';

const { SharedAccessSignature } = createRequire(import.meta.url)('azure-iot-common') as {
  SharedAccessSignature: {
    create(resource: string, policy: string | null, key: string, expiry: number): { toString(): string };
  };
};

const key = Buffer.from('0123456789abcdef0123456789abcdef');
const identity = { deviceId: 'd', moduleId: '$edgeHub' };
const nowMs = 1_700_000_000_000;
const expirySeconds = 1_700_000_600;
const check = { keys: [Buffer.from('another key'), key], hostnames: ['hub.example'], identity, nowMs };

t.test("a token is what Microsoft's library makes from the same key", (t) => {
  const resource = sasResource('hub.example', identity);
  const theirs = SharedAccessSignature.create(resource, null, key.toString('base64'), expirySeconds).toString();
  t.equal(signToken({ key, resource, expirySeconds }), theirs);
  t.strictSame(verifyToken(theirs, check), { ok: true, expiresAtMs: expirySeconds * 1000 });
  t.end();
});

t.test('the signature is over the resource as written, in whatever encoding', (t) => {
  for (const resource of [
    'hub.example/devices/d',
    'HUB.example%2fdevices%2fd',
    'hub.example%2Fdevices%2Fd%2Fmodules%2F%24edgeHub',
  ]) {
    t.match(verifyToken(signToken({ key, resource, expirySeconds }), check), { ok: true }, resource);
  }
  t.end();
});

t.test('a token that must not pass does not pass, and the reason says why', (t) => {
  const resource = sasResource('hub.example', identity);
  const good = signToken({ key, resource, expirySeconds });
  const other = createHmac('sha256', 'x').digest();
  const table: readonly [string, string, RegExp][] = [
    ['of another key', signToken({ key: other, resource, expirySeconds }), /another key/],
    ['with a changed expiry', good.replace(String(expirySeconds), String(expirySeconds + 1)), /another key/],
    ['with a changed resource', good.replace('%2524edgeHub', '%24edgeHub'), /another key/],
    [
      'with a short signature',
      'SharedAccessSignature sr=hub.example%2Fdevices%2Fd&sig=aGk%3D&se=1700000600',
      /another key/,
    ],
    ['that ends now', signToken({ key, resource, expirySeconds: nowMs / 1000 }), /expired 0 s ago/],
    ['that ended', signToken({ key, resource, expirySeconds: nowMs / 1000 - 60 }), /expired 60 s ago/],
    [
      'for another device',
      signToken({ key, resource: sasResource('hub.example', { deviceId: 'e' }), expirySeconds }),
      /token is for/,
    ],
    [
      'for another hub',
      signToken({ key, resource: sasResource('evil.example', identity), expirySeconds }),
      /token is for/,
    ],
    ['that is none', 'hello', /start/],
  ];
  for (const [what, text, detail] of table) {
    const verdict = verifyToken(text, check);
    t.equal(verdict.ok, false, what);
    if (!verdict.ok) t.match(verdict.detail, detail, what);
  }
  t.end();
});
