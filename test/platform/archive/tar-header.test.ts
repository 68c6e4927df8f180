// Tar headers and pax records, field by field.

import t from 'tap';
import { readPaxRecords } from '../../../src/platform/archive/pax.ts';
import { readTarHeader, tarText } from '../../../src/platform/archive/tar-header.ts';
import { paxRecord, type TarEntry, tarEntry } from '../../support/tar-file.ts';

const read = (entry: TarEntry) => readTarHeader(tarEntry(entry).subarray(0, 512));
const headerOf = (entry: TarEntry) => {
  const found = read(entry);
  return found.kind === 'header' ? found.header : found;
};

t.test('a header tells name, mode, size, type and target', async (t) => {
  t.same(headerOf({ name: 'a/b.txt', mode: 0o4755, content: 'hello' }), {
    name: 'a/b.txt',
    mode: 0o4755,
    bytes: 5,
    type: '0',
    linkTarget: '',
  });
  t.match(headerOf({ name: 'l', type: '2', linkTarget: 'a/b.txt' }), { type: '2', linkTarget: 'a/b.txt' });
  t.match(headerOf({ name: 'b', prefix: 'long/way' }), { name: 'long/way/b' });
  t.match(headerOf({ name: 'n'.repeat(100) }), { name: 'n'.repeat(100) }, 'without a NUL at the end');
  t.match(headerOf({ name: 'old/', type: '\0' }), { type: '5' }, 'old archives know directories by their slash');
  t.match(headerOf({ name: 'c', type: '7' }), { type: '0' });
});

t.test("GNU's header has no prefix, whatever stands there", async (t) => {
  const block = Buffer.from(tarEntry({ name: 'b', prefix: 'times' }).subarray(0, 512));
  block.write('ustar  \0', 257, 'latin1');
  block.fill(' ', 148, 156);
  block.write(`${block.reduce((sum, byte) => sum + byte, 0).toString(8)}\0 `, 148);
  t.match(readTarHeader(block), { header: { name: 'b' } });
});

t.test('a size beyond octal digits is read in base 256', async (t) => {
  const sizeField = Buffer.alloc(12);
  sizeField[0] = 0x80;
  sizeField.writeUInt32BE(3, 4);
  sizeField.writeUInt32BE(5, 8);
  t.match(headerOf({ name: 'big', sizeField }), { bytes: 3 * 2 ** 32 + 5 });
  t.match(read({ name: 'negative', sizeField: Buffer.alloc(12, 0xff) }), { kind: 'bad', problem: /size/ });
  t.match(read({ name: 'text', sizeField: Buffer.from('12345678z\0\0\0') }), { kind: 'bad', problem: /size/ });
});

t.test('zeros end an archive, and a changed byte makes a header bad', async (t) => {
  t.same(readTarHeader(Buffer.alloc(512)), { kind: 'end' });
  const block = Buffer.from(tarEntry({ name: 'a' }).subarray(0, 512));
  block[3] = 0x41;
  t.match(readTarHeader(block), { kind: 'bad', problem: /checksum/ });
  t.equal(readTarHeader(Buffer.alloc(512, 0xff)).kind, 'bad');
});

t.test('a name that is not UTF-8 is not taken for one', async (t) => {
  const block = Buffer.from(tarEntry({ name: 'a' }).subarray(0, 512));
  block[0] = 0xe4;
  block.fill(' ', 148, 156);
  block.write(
    `${block
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  );
  t.match(readTarHeader(block), { kind: 'header', header: { name: undefined, linkTarget: '' } });
  t.equal(tarText(Buffer.from([0xe4, 0x00])), undefined);
  t.equal(tarText(Buffer.from('ä\0rest')), 'ä');
});

t.test('pax records tell long names and sizes', async (t) => {
  const path = `${'ä'.repeat(200)}/x`;
  const text =
    paxRecord('mtime', '1.5') + paxRecord('path', path) + paxRecord('linkpath', 'to') + paxRecord('size', '77');
  t.same(readPaxRecords(Buffer.from(text)), { path, linkPath: 'to', bytes: 77, sparse: false });
  t.same(readPaxRecords(Buffer.alloc(0)), { sparse: false });
  t.match(readPaxRecords(Buffer.from(paxRecord('GNU.sparse.major', '1'))), { sparse: true });
});

for (const text of ['x', '5 a=b', '99 a=b\n', '0 a=b\n', '6 ab\n', ' a=b\n', '9999999999999 a=b\n', '6 =ab\n'])
  t.test(`records are refused when they are ${JSON.stringify(text)}`, async (t) => {
    t.equal(readPaxRecords(Buffer.from(text)), undefined);
  });

t.test('a size that is no number and a name with NUL are refused', async (t) => {
  t.equal(readPaxRecords(Buffer.from(paxRecord('size', '-1'))), undefined);
  t.equal(readPaxRecords(Buffer.from(paxRecord('size', '99999999999999999999'))), undefined);
  t.equal(readPaxRecords(Buffer.from(paxRecord('path', 'a\0b'))), undefined);
});
