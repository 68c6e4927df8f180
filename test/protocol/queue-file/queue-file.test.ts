// The files that carry a queue by hand: what is written is read, and nothing that was changed passes.

import { strict as assert } from 'node:assert';
import t from 'tap';
import { DeviceKey } from '../../../src/identity/index.ts';
import { priorityUnset } from '../../../src/model/lane.ts';
import type { Message } from '../../../src/model/message.ts';
import {
  encodeSegmentHeader,
  encodeSegmentMessage,
  formatReceipt,
  parseReceipt,
  type ReceiptFacts,
  readSegmentHeader,
  readSegmentMessages,
  type SegmentFacts,
  saltBytes,
  segmentBody,
} from '../../../src/protocol/queue-file/index.ts';
import { seededEntropy } from '../../support/sim-entropy.ts';

const key = new DeviceKey(Buffer.alloc(32, 7).toString('base64'));
const otherKey = new DeviceKey(Buffer.alloc(32, 8).toString('base64'));
const entropy = seededEntropy(5);

const facts: SegmentFacts = {
  deviceId: 'gw:7',
  epoch: '00112233445566aa',
  stream: '00112233445566aa.3',
  queue: '$upstream',
  priority: priorityUnset,
  live: false,
  gone: 4,
  after: 9,
  first: 11,
  last: 15,
  messages: 3,
  createdMs: 1_767_225_600_000,
};

const messages: readonly { readonly offset: number; readonly message: Message }[] = [11, 12, 15].map((offset) => ({
  offset,
  message: {
    sender: offset === 12 ? { deviceId: 'gw:7' } : { deviceId: 'gw:7', moduleId: 'm' },
    ...(offset === 15 ? { output: 'out ✓' } : {}),
    system: { contentType: 'application/json' },
    properties: JSON.parse('{"kind":"\\u0000\\n\\"","__proto__":"p"}') as Record<string, string>,
    body: Buffer.from(offset === 11 ? '' : `{"n":${offset}}`),
    enqueuedMs: 1_767_225_600_000.5,
    hop: { stream: facts.stream, sequence: offset },
  },
}));

function file(over: Partial<SegmentFacts> = {}, sealer = key): Buffer {
  const plain = Buffer.concat(messages.map(({ offset, message }) => encodeSegmentMessage(offset, message)));
  const salt = entropy.bytes(saltBytes);
  const bodyBytes = plain.length + sealer.sealTagBytes;
  const header = encodeSegmentHeader({ ...facts, ...over }, { salt, proof: sealer.sealProof(salt), bodyBytes });
  return Buffer.concat([header, sealer.seal(plain, { salt, associated: header })]);
}

/** What a receiver that knows `key` makes of the bytes. */
function judge(bytes: Buffer): string {
  const header = readSegmentHeader(bytes);
  if (!header.ok) return header.fault;
  const body = segmentBody(bytes, header);
  if ('ok' in body) return body.fault;
  if (!key.hasSealed(header.proof, header.salt)) return 'another key';
  const plain = key.unseal(body, { salt: header.salt, associated: header.header });
  if (plain === undefined) return 'seal broken';
  const read = readSegmentMessages(plain, header.facts);
  return read.ok ? 'taken' : read.fault;
}

t.test('what is written is read again, every field of it', async (t) => {
  const bytes = file();
  const header = readSegmentHeader(bytes);
  assert(header.ok);
  t.same(header.facts, facts);
  t.same(readSegmentHeader(bytes.subarray(0, header.header.length)), header, 'the beginning tells the header');
  const body = segmentBody(bytes, header);
  assert(!('ok' in body));
  const plain = key.unseal(body, { salt: header.salt, associated: header.header });
  assert(plain !== undefined, 'the seal is whole');
  t.same(readSegmentMessages(plain, header.facts), { ok: true, messages });
  t.notOk(bytes.includes('"n":12'), 'nobody reads a body without the key');
});

t.test('every flipped bit is found', async (t) => {
  const bytes = file();
  const verdicts = new Map<string, number>();
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const forged = Buffer.from(bytes);
    forged[bit >> 3] = (forged[bit >> 3] as number) ^ (1 << (bit & 7));
    const verdict = judge(forged);
    verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
  }
  t.equal(judge(bytes), 'taken');
  t.notOk(verdicts.has('taken'), `${[...verdicts]}`);
  t.ok((verdicts.get('seal broken') ?? 0) >= 8 * 16, 'the body is protected by its seal');
});

t.test('every torn file is told as torn, and one with more behind it as damaged', async (t) => {
  const bytes = file();
  for (let length = 0; length < bytes.length; length++) t.equal(judge(bytes.subarray(0, length)), 'torn', `${length}`);
  t.equal(judge(Buffer.concat([bytes, Buffer.alloc(1)])), 'damaged');
});

t.test('a header that was rewritten with a right checksum does not pass the seal', async (t) => {
  const bytes = file();
  const header = readSegmentHeader(bytes);
  assert(header.ok);
  for (const change of [{ gone: 9 }, { deviceId: 'gw:8' }, { stream: '00112233445566aa.4' }, { priority: 0 }]) {
    const rewritten = encodeSegmentHeader({ ...facts, ...change }, header);
    t.equal(
      judge(Buffer.concat([rewritten, bytes.subarray(header.header.length)])),
      'seal broken',
      JSON.stringify(change),
    );
  }
});

t.test('another key, another program, a newer version: each has its name', async (t) => {
  t.equal(judge(file({}, otherKey)), 'another key');
  t.equal(judge(Buffer.from('PK\u0003\u0004 a file of somebody else')), 'foreign');
  const newer = file();
  newer.writeUInt16LE(2, 8);
  t.equal(judge(newer), 'newer');
});

t.test('a body that is sealed well but is not what the header says is refused', async (t) => {
  for (const change of [{ first: 12 }, { last: 16 }, { messages: 2 }, { after: 11, first: 12 }])
    t.equal(judge(file(change)), 'damaged', JSON.stringify(change));
});

t.test('a header of nonsense is damaged, never an exception', async (t) => {
  for (const change of [
    { priority: 11 },
    { stream: 'a b' },
    { epoch: '' },
    { gone: -1 },
    { after: 1.5 },
    { messages: 0 },
    { queue: '' },
    { live: 'yes' as unknown as boolean },
  ])
    t.equal(judge(file(change)), 'damaged', JSON.stringify(change));
});

const receipt: ReceiptFacts = {
  deviceId: 'gw:7',
  epoch: facts.epoch,
  stream: facts.stream,
  queue: '$upstream',
  priority: 3,
  live: true,
  after: 9,
  last: 15,
  messages: 3,
  repeated: 1,
  takenMs: 1_767_225_600_000,
};

function receiptText(signer = key): string {
  const salt = entropy.bytes(saltBytes);
  return formatReceipt(receipt, { salt, sign: (text) => signer.signReceipt(text, salt) });
}

function judgeReceipt(text: string): string {
  const read = parseReceipt(text);
  if (!read.ok) return read.fault;
  return key.verifyReceipt(read.signature, read.signed, read.salt) ? 'good' : 'forged';
}

t.test('a receipt is text that only the two that know the key can make', async (t) => {
  const text = receiptText();
  const read = parseReceipt(text);
  t.match(read, { ok: true, facts: receipt });
  t.equal(judgeReceipt(text), 'good');
  t.equal(judgeReceipt(receiptText(otherKey)), 'forged');
  t.equal(judgeReceipt(text.replace('"last":15', '"last":16')), 'forged');
  t.equal(judgeReceipt(text.replace('receipt 1', 'receipt 2')), 'newer');
  t.equal(judgeReceipt('milk, eggs\n'), 'foreign');
  for (let length = 0; length < text.length; length++) t.not(judgeReceipt(text.slice(0, length)), 'good', `${length}`);
});

t.test('every flipped bit of a receipt is found', async (t) => {
  const text = receiptText();
  const bytes = Buffer.from(text);
  const passed: number[] = [];
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const forged = Buffer.from(bytes);
    forged[bit >> 3] = (forged[bit >> 3] as number) ^ (1 << (bit & 7));
    if (judgeReceipt(forged.toString('utf8')) === 'good') passed.push(bit);
  }
  // The last digit of 32 bytes in base64 has two bits that say nothing: flipped, it is the same signature.
  const unused = text.lastIndexOf('=') - 1;
  t.ok(
    passed.every((bit) => bit >> 3 === unused),
    `${passed}`,
  );
});
