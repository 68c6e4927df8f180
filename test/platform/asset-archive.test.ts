// The reader of the archive at the end of the executable, on files laid out by hand.

import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import t from 'tap';
import { readAsset } from '../../src/platform/asset-archive.ts';

const part = Buffer.from('the part');
const sha256 = createHash('sha256').update(part).digest('hex');
const image = Buffer.from('\x7fELF and so on');

interface Layout {
  readonly body?: Buffer;
  readonly index?: string;
  readonly version?: number;
  readonly magic?: string;
  readonly indexBytes?: number;
}

function archive(layout: Layout = {}): Buffer {
  const index = Buffer.from(layout.index ?? JSON.stringify({ part: [image.length, part.length] }));
  const trailer = Buffer.alloc(16);
  trailer.writeUInt32LE(layout.indexBytes ?? index.length, 0);
  trailer.writeUInt32LE(layout.version ?? 2, 4);
  trailer.write(layout.magic ?? 'WEIRPACK', 8, 'latin1');
  return Buffer.concat([image, layout.body ?? part, index, trailer]);
}

t.test('readAsset returns the bytes of a part that has its digest', async (t) => {
  const file = join(t.testdir(), 'weir');
  writeFileSync(file, archive());
  t.same(readAsset(file, 'part', sha256), part);
});

t.test('readAsset inflates a part that says its length', async (t) => {
  const file = join(t.testdir(), 'weir');
  const body = deflateRawSync(part);
  const index = JSON.stringify({ part: [image.length, body.length, part.length] });
  writeFileSync(file, archive({ body, index }));
  t.same(readAsset(file, 'part', sha256), part);
});

t.test('readAsset names a part that is not there', async (t) => {
  const file = join(t.testdir(), 'weir');
  writeFileSync(file, archive());
  t.throws(() => readAsset(file, 'other', sha256), { code: 'PLATFORM_ASSET_MISSING', message: /no part called other/ });
});

const damages: readonly { readonly name: string; readonly bytes: Buffer }[] = [
  { name: 'an empty file', bytes: Buffer.alloc(0) },
  { name: 'a file shorter than the trailer', bytes: Buffer.from('short') },
  { name: 'a file without the archive', bytes: image },
  { name: 'a file cut by one byte', bytes: archive().subarray(0, -1) },
  { name: 'another format version', bytes: archive({ version: 1 }) },
  { name: 'an index longer than the file', bytes: archive({ indexBytes: 60_000 }) },
  { name: 'an index longer than any index', bytes: archive({ indexBytes: 0xffffffff }) },
  { name: 'an index that is no JSON', bytes: archive({ index: '{"part":[' }) },
  { name: 'a place that is no number', bytes: archive({ index: '{"part":["a","b"]}' }) },
  { name: 'a place before the file', bytes: archive({ index: '{"part":[-1,4]}' }) },
  { name: 'a place behind the file', bytes: archive({ index: '{"part":[5,100000]}' }) },
  { name: 'a part that is no deflate stream', bytes: archive({ index: '{"part":[13,8,8]}' }) },
  {
    name: 'a part that inflates to more than it says',
    bytes: archive({
      body: deflateRawSync(part),
      index: `{"part":[${image.length},${deflateRawSync(part).length},4]}`,
    }),
  },
  { name: 'an inflated length that is no number', bytes: archive({ index: '{"part":[13,8,"x"]}' }) },
  { name: 'a part of other bytes', bytes: archive({ index: '{"part":[0,8]}' }) },
];

for (const { name, bytes } of damages)
  t.test(`readAsset calls ${name} damaged`, async (t) => {
    const file = join(t.testdir(), 'weir');
    writeFileSync(file, bytes);
    t.throws(() => readAsset(file, 'part', sha256), { code: 'PLATFORM_ASSET_DAMAGED' });
  });
