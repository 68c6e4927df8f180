import t from 'tap';
import { telemetryFrameBytesMax, telemetryFrameMessagesMax } from '../../../src/limits.ts';
import {
  decodeTelemetryFrame,
  type FramedMessage,
  frameFilter,
  framesTakenTopic,
  frameTopic,
  TelemetryFrameWriter,
} from '../../../src/protocol/iothub/telemetry-frame.ts';
import { parseDeviceTopic } from '../../../src/protocol/iothub/topics.ts';
import { topicMatches } from '../../../src/protocol/mqtt/topic.ts';
import { seededEntropy } from '../../support/sim-entropy.ts';

const stream = 'epoch-1.7';
const gateway = { deviceId: 'gw' };
const plant = { deviceId: 'gw', moduleId: 'plant' };
const leaf = { deviceId: 'meter', moduleId: 'm' };

function message(sequence: number, over: Partial<FramedMessage> = {}): FramedMessage {
  return {
    sender: plant,
    bag: '$.on=out&k=v',
    body: Buffer.from(`body ${sequence}`),
    hop: { stream, sequence },
    ...over,
  };
}

function written(messages: readonly FramedMessage[]): Buffer {
  const writer = new TelemetryFrameWriter((messages[0] as FramedMessage).hop);
  for (const each of messages) if (!writer.add(each)) throw new Error(`no room for ${each.hop.sequence}`);
  return writer.frame();
}

const mixed = [
  message(41),
  message(42),
  message(43, { sender: gateway }),
  message(44, { sender: leaf, bag: '' }),
  message(45, { sender: leaf, bag: '', body: Buffer.alloc(0) }),
  message(46, { bag: '$.ctime=2026-01-01T00%3A00%3A00.000Z' }),
];

t.test('what is written is read, with senders, bags, bodies and positions', (t) => {
  const read = decodeTelemetryFrame(written(mixed));
  t.strictSame(read, { ok: true, messages: mixed });
  t.end();
});

t.test('what is as in the message before takes two bytes', (t) => {
  const head = 11 + stream.length;
  t.equal(written([message(1)]).length, head + 6 + 'gw/plant'.length + '$.on=out&k=v'.length + 'body 1'.length);
  t.equal(written([message(1), message(2)]).length, written([message(1)]).length + 6 + 'body 2'.length);
  t.end();
});

t.test('the bytes are those of the header of the codec', (t) => {
  const frame = written([message(258), message(259)]);
  const expected = Buffer.concat([
    Buffer.from([1, stream.length]),
    Buffer.from(stream),
    Buffer.from([0, 0, 0, 0, 0, 0, 1, 2, 2, 0, 8]),
    Buffer.from('gw/plant'),
    Buffer.from([0, 12]),
    Buffer.from('$.on=out&k=v'),
    Buffer.from([0, 8]),
    Buffer.from('body 258'),
    Buffer.from([255, 255, 255, 255, 0, 8]),
    Buffer.from('body 259'),
  ]);
  t.same(frame, expected);
  t.end();
});

t.test('a frame holds what follows each other, and no more than its limits', (t) => {
  const writer = new TelemetryFrameWriter({ stream, sequence: 1 });
  t.ok(writer.add(message(1)));
  t.notOk(writer.add(message(3)), 'a gap');
  t.notOk(writer.add(message(2, { hop: { stream: 'epoch-2.7', sequence: 2 } })), 'another stream');
  t.notOk(writer.add(message(2, { body: Buffer.alloc(telemetryFrameBytesMax) })), 'no room');
  for (let sequence = 2; sequence <= telemetryFrameMessagesMax; sequence++) t.ok(writer.add(message(sequence)));
  t.notOk(writer.add(message(telemetryFrameMessagesMax + 1)));
  t.equal(writer.count, telemetryFrameMessagesMax);
  const read = decodeTelemetryFrame(writer.frame());
  t.equal(read.ok && read.messages.length, telemetryFrameMessagesMax);

  const full = new TelemetryFrameWriter({ stream, sequence: 1 });
  const overhead = written([message(1, { body: Buffer.alloc(0) })]).length;
  t.notOk(full.add(message(1, { body: Buffer.alloc(telemetryFrameBytesMax - overhead + 1) })));
  t.ok(full.add(message(1, { body: Buffer.alloc(telemetryFrameBytesMax - overhead) })));
  t.equal(full.frame().length, telemetryFrameBytesMax);
  t.ok(decodeTelemetryFrame(full.frame()).ok);
  t.end();
});

t.test('a body that is a frame is a body', (t) => {
  const inner = written(mixed);
  const read = decodeTelemetryFrame(written([message(1, { body: inner }), message(2)]));
  t.same(read.ok && read.messages.map(({ body }) => body), [inner, Buffer.from('body 2')]);
  t.end();
});

t.test('a frame that is cut off anywhere, or goes on, is refused as a whole', (t) => {
  const frame = written(mixed);
  for (let length = 0; length < frame.length; length++)
    t.match(decodeTelemetryFrame(frame.subarray(0, length)), { ok: false, reason: /./ }, `${length} bytes`);
  t.match(decodeTelemetryFrame(Buffer.concat([frame, Buffer.alloc(1)])), {
    ok: false,
    reason: 'something follows its last message',
  });
  t.match(decodeTelemetryFrame(Buffer.alloc(telemetryFrameBytesMax + 1)), { ok: false, reason: /bytes/ });
  t.end();
});

t.test('what cannot be is refused, with its reason', (t) => {
  const frame = written([message(1), message(2)]);
  const at = { version: 0, streamBytes: 1, stream: 2, first: 2 + stream.length, count: 10 + stream.length };
  const changed = (offset: number, ...bytes: number[]): Buffer => {
    const copy = Buffer.from(frame);
    copy.set(bytes, offset);
    return copy;
  };
  const bagAt = at.count + 1 + 2 + 'gw/plant'.length + 2;
  const cases: readonly (readonly [Buffer, RegExp])[] = [
    [changed(at.version, 2), /version 2/],
    [changed(at.streamBytes, 0), /stream|position|message/],
    [changed(at.streamBytes, 255), /head/],
    [changed(at.stream, 0x20), /stream/],
    [changed(at.first, 0, 0, 0, 0, 0, 0, 0, 0), /position 0/],
    [changed(at.first, 0x00, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), /position/],
    [changed(at.first, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), /position/],
    [changed(at.count, 0), /0 messages/],
    [changed(at.count, telemetryFrameMessagesMax + 1), /messages/],
    [changed(at.count, 1), /follows/],
    [changed(at.count, 3), /message 3 of 3/],
    [changed(at.count + 1, 255, 255), /sender|ends/],
    [changed(at.count + 3, 0x2f), /sender/],
    [changed(bagAt - 2, 255, 255), /bag|ends/],
    [changed(bagAt, 0x20), /bag/],
    [changed(bagAt, 0x80), /bag/],
    [changed(bagAt, 0), /bag/],
  ];
  for (const [damaged, reason] of cases) t.match(decodeTelemetryFrame(damaged), { ok: false, reason }, String(reason));
  t.end();
});

t.test('drawn damage is refused or read as something whole, and never crashes', (t) => {
  const dice = seededEntropy(7);
  const frame = written(mixed);
  const below = (limit: number): number => Math.floor(dice.fraction() * limit);
  let refused = 0;
  for (let round = 0; round < 20_000; round++) {
    let damaged = Buffer.from(frame);
    for (let change = below(4); change >= 0; change--) damaged[below(damaged.length)] = below(256);
    if (below(4) === 0) damaged = damaged.subarray(0, below(damaged.length + 1));
    if (below(8) === 0) damaged = Buffer.concat([damaged, dice.bytes(below(40))]);
    const read = decodeTelemetryFrame(damaged);
    if (!read.ok) refused++;
    else if (!isWhole(read.messages, damaged)) t.fail(`round ${round}: ${damaged.toString('hex')}`);
  }
  t.ok(refused > 2000, `${refused} were refused`);
  for (let round = 0; round < 5000; round++) decodeTelemetryFrame(Buffer.from(dice.bytes(below(300))));
  t.end();
});

/** What was read, written again, says the same: nothing of it was left out or made up. */
function isWhole(messages: readonly FramedMessage[], frame: Buffer): boolean {
  const again = decodeTelemetryFrame(written(messages));
  const bytes = messages.reduce((sum, { body }) => sum + body.byteLength, 0);
  return again.ok && JSON.stringify(again.messages) === JSON.stringify(messages) && bytes < frame.length;
}

t.test('the topics: one to publish frames to, and one by which a hub tells that it takes them', (t) => {
  t.same(parseDeviceTopic(frameTopic), { kind: 'frame' });
  t.equal(parseDeviceTopic(`${frameTopic}x`), undefined);
  t.ok(topicMatches(frameFilter, framesTakenTopic));
  t.end();
});
