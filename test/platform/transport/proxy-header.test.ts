// Vectors as HAProxy's specification of the PROXY protocol, section 2.2, composes them.

import t from 'tap';
import { readProxyHeader } from '../../../src/platform/transport/proxy-header.ts';

const signature = '0d0a0d0a000d0a515549540a';
const bytesMax = 4096;
const read = (hex: string) => readProxyHeader(Buffer.from(`${signature}${hex}`, 'hex'), bytesMax);
const zeros = (bytes: number): string => '00'.repeat(bytes);

t.test('addresses are told as Node tells them', (t) => {
  t.strictSame(read('2111000cc0a80001c0a8000bea60075b'), { kind: 'whole', bytes: 28, source: '192.168.0.1:60000' });
  t.strictSame(read(`21210024${'20010db8000000000000000000000001'}${zeros(15)}01${'ea60075b'}`), {
    kind: 'whole',
    bytes: 52,
    source: '2001:db8::1:60000',
  });
  t.strictSame(read(`21210024${'20010db8000100010001000100010001'}${zeros(16)}${'0001075b'}`), {
    kind: 'whole',
    bytes: 52,
    source: '2001:db8:1:1:1:1:1:1:1',
  });
  t.strictSame(read(`21210024${zeros(16)}${zeros(16)}${'0001075b'}`), { kind: 'whole', bytes: 52, source: ':::1' });
  t.strictSame(read(`213100d8${zeros(216)}`), { kind: 'whole', bytes: 232, source: 'unix:' });
  t.end();
});

t.test('the proxy may speak for itself, and may not know', (t) => {
  t.strictSame(read('20000000'), { kind: 'whole', bytes: 16, source: undefined });
  t.strictSame(read('2011000cc0a80001c0a8000bea60075b'), { kind: 'whole', bytes: 28, source: undefined });
  t.strictSame(read('21000000'), { kind: 'whole', bytes: 16, source: undefined });
  t.end();
});

t.test('TLVs after the addresses are skipped', (t) => {
  t.strictSame(read('21110013c0a80001c0a8000bea60075b04000400000000'), {
    kind: 'whole',
    bytes: 35,
    source: '192.168.0.1:60000',
  });
  t.end();
});

t.test('a header may come byte by byte, and what follows is not looked at', (t) => {
  const whole = Buffer.from(`${signature}2111000cc0a80001c0a8000bea60075b`, 'hex');
  for (let bytes = 0; bytes < whole.length; bytes += 1)
    t.equal(readProxyHeader(whole.subarray(0, bytes), bytesMax).kind, 'short', `${bytes} bytes`);
  t.match(readProxyHeader(Buffer.concat([whole, Buffer.from('100c')]), bytesMax), {
    kind: 'whole',
    bytes: whole.length,
  });
  t.end();
});

t.test('anything else is refused with its reason', (t) => {
  const rows: readonly (readonly [string, Buffer, RegExp])[] = [
    ['version 1', Buffer.from('PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n'), /version 1/],
    ['no header: a CONNECT', Buffer.from('100c00044d51545404020000', 'hex'), /none/],
    ['one wrong byte of the signature', Buffer.from('0d0a0d0b', 'hex'), /none/],
    ['version 3', Buffer.from(`${signature}3111000c`, 'hex'), /version is 3/],
    ['an unknown command', Buffer.from(`${signature}2211000c`, 'hex'), /command is 2/],
    ['an unknown family', Buffer.from(`${signature}21410000`, 'hex'), /family is 4/],
    ['datagrams', Buffer.from(`${signature}2112000c${zeros(12)}`, 'hex'), /stream/],
    ['IPv4 addresses cut', Buffer.from(`${signature}2111000b${zeros(11)}`, 'hex'), /cut/],
    ['IPv6 addresses cut', Buffer.from(`${signature}21210023${zeros(35)}`, 'hex'), /cut/],
    ['unix addresses cut', Buffer.from(`${signature}213100d7${zeros(215)}`, 'hex'), /cut/],
    ['more than we take', Buffer.from(`${signature}2111ffff`, 'hex'), /more than 4096/],
  ];
  for (const [name, bytes, detail] of rows) t.match(readProxyHeader(bytes, bytesMax), { kind: 'bad', detail }, name);
  t.end();
});
