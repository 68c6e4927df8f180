// Sources: kinds by their names, names that are safe, addresses that are refused or shown without their secrets.

import t from 'tap';
import { readSource } from '../../src/artifacts/source.ts';

const sha256 = 'A'.repeat(64);
const source = (url: string) => readSource({ url, sha256, sizeBytes: 10 });

const kinds: readonly (readonly [string, string, string])[] = [
  ['https://host/a/app.tar.gz', 'tar.gz', 'app.tar.gz'],
  ['https://host/app.TGZ?sig=secret', 'tar.gz', 'app.TGZ'],
  ['file:///media/stick/app.tar', 'tar', 'app.tar'],
  ['https://host/app.zip#x', 'zip', 'app.zip'],
  ['https://host/app.js', 'file', 'app.js'],
  ['https://host/bin/collector', 'file', 'collector'],
  ['https://host/', 'file', 'program'],
  ['https://host/%2e%2e%2fescape', 'file', '-escape'],
  ['https://host/.hidden', 'file', 'hidden'],
  ['https://host/%E0%A4%A', 'file', '-E0-A4-A'],
];

for (const [url, kind, name] of kinds)
  t.test(`${url} is ${kind} with the name ${name}`, async (t) => t.match(source(url), { kind, name }));

const refused: readonly (readonly [string, RegExp])[] = [
  ['http://host/app.js', /https:\/\/… or file:\/\/\//],
  ['ftp://host/app.js', /https:\/\/… or file:\/\/\//],
  ['file://server/share/app.js', /https:\/\/… or file:\/\/\//],
  ['not an address', /cannot be read/],
  ['https://host/app.tar.xz', /archives are \.tar\.gz/],
  ['https://host/app.rar', /archives are \.tar\.gz/],
];

for (const [url, message] of refused)
  t.test(`${url} is refused`, async (t) => {
    t.throws(() => source(url), { code: 'ARTIFACTS_SOURCE_INVALID', message, retryable: false });
  });

t.test('a digest that is none and a size out of bounds are refused', async (t) => {
  const url = 'https://host/app.js';
  t.throws(() => readSource({ url, sha256: 'abc', sizeBytes: 1 }), { message: /64 hexadecimal digits/ });
  for (const sizeBytes of [0, -1, 1.5, Number.NaN, 2 ** 40])
    t.throws(() => readSource({ url, sha256, sizeBytes }), { message: /size is not between 1 and/ });
});

t.test('neither the password nor the signature of an address is shown', async (t) => {
  const { shown, sha256: digest } = source('https://user:geheim@host/app.js?sig=geheim#geheim');
  t.equal(shown, 'https://host/app.js');
  t.equal(digest, 'a'.repeat(64));
});
