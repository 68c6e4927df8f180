// Properties of MQTT 5 against a second table, written down here after table 2-4 of the specification.

import { Buffer } from 'node:buffer';
import t from 'tap';
import { packetType } from '../../../src/protocol/mqtt/frame.ts';
import { isTextAt } from '../../../src/protocol/mqtt/mqtt-text.ts';
import { PropertyWalk, willOwner } from '../../../src/protocol/mqtt/properties.ts';

const owners: Readonly<Record<string, number>> = { ...packetType, will: willOwner };

/** Id, a value as hex, where it may be; `*` behind an owner: more than once. */
const table: readonly [number, string, string][] = [
  [0x01, '01', 'publish will'],
  [0x02, '00000000', 'publish will'],
  [0x03, '0001 61', 'publish will'],
  [0x08, '0003 612f62', 'publish will'],
  [0x09, '0002 00ff', 'publish will'],
  [0x0b, 'ffffff7f', 'publish* subscribe'],
  [0x11, 'ffffffff', 'connect connack disconnect'],
  [0x12, '0001 61', 'connack'],
  [0x13, '0000', 'connack'],
  [0x15, '0001 61', 'connect connack auth'],
  [0x16, '0000', 'connect connack auth'],
  [0x17, '00', 'connect'],
  [0x18, '00000000', 'will'],
  [0x19, '01', 'connect'],
  [0x1a, '0000', 'connack'],
  [0x1c, '0001 61', 'connack disconnect'],
  [0x1f, '0001 61', 'connack puback pubrec pubrel pubcomp suback unsuback disconnect auth'],
  [0x21, '0001', 'connect connack'],
  [0x22, '0000', 'connect connack'],
  [0x23, '0001', 'publish'],
  [0x24, '01', 'connack'],
  [0x25, '00', 'connack'],
  [
    0x26,
    '0001 61 0000',
    'connect* connack* publish* will* puback* pubrec* pubrel* pubcomp* subscribe* suback* unsubscribe* unsuback* disconnect* auth*',
  ],
  [0x27, '00000001', 'connect connack'],
  [0x28, '01', 'connack'],
  [0x29, '00', 'connack'],
  [0x2a, '01', 'connack'],
];

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex');
}

/** All steps over one section of `properties`: undefined, or the first problem. */
function judge(owner: number, ...properties: Buffer[]): string | undefined {
  const bytes = Buffer.concat(properties);
  const section = Buffer.concat([Buffer.from([bytes.length]), bytes, Buffer.from('behind')]);
  const walk = new PropertyWalk();
  const end = walk.start(section, 0, { end: section.length, owner });
  if (end !== 1 + bytes.length) return 'section';
  while (!walk.isDone) {
    const problem = walk.next();
    if (problem !== undefined) return problem;
  }
  return walk.at === end ? undefined : 'past the end';
}

t.test('each property is allowed in its packets and malformed in every other', async (t) => {
  for (let id = 0; id <= 255; id++) {
    const row = table.find(([known]) => known === id);
    const allowed = (row?.[2] ?? '').replaceAll('*', '').split(' ');
    const property = Buffer.concat([Buffer.from([id]), hex(row?.[1] ?? '00000000')]);
    const verdicts = Object.entries(owners).map(([name, owner]) => [name, judge(owner, property)]);
    const wanted = Object.keys(owners).map((name) => [name, allowed.includes(name) ? undefined : 'malformed-packet']);
    t.same(verdicts, wanted, `property ${id}`);
  }
});

t.test('a property comes once, but for those that may come more often', async (t) => {
  for (const [id, value, names] of table) {
    const property = Buffer.concat([Buffer.from([id]), hex(value)]);
    const pair = hex('26 0001 62 0001 63');
    for (const name of names.split(' ')) {
      const owner = owners[name.replace('*', '')] as number;
      const verdict = name.endsWith('*') ? undefined : 'protocol-error';
      t.equal(judge(owner, property, property), verdict, `${name} ${id} twice`);
      t.equal(judge(owner, property, pair, property), verdict, `${name} ${id} twice, not side by side`);
    }
  }
});

t.test('a value cut off anywhere is malformed', async (t) => {
  for (const [id, value, names] of table) {
    const owner = owners[(names.split(' ')[0] as string).replace('*', '')] as number;
    const property = Buffer.concat([Buffer.from([id]), hex(value)]);
    for (let length = 1; length < property.length; length++) {
      t.equal(judge(owner, property.subarray(0, length)), 'malformed-packet', `${id} cut to ${length}`);
    }
  }
});

const values: readonly [string, string, string, string | undefined][] = [
  ['publish', '01 00', 'format 0', undefined],
  ['publish', '01 02', 'format 2', 'protocol-error'],
  ['publish', '08 0000', 'an empty response topic', 'protocol-error'],
  ['publish', '08 0001 2b', 'a wildcard in the response topic [MQTT-3.3.2-14]', 'protocol-error'],
  ['publish', '08 0003 612f23', 'a wildcard in the response topic', 'protocol-error'],
  ['publish', '08 0001 00', 'U+0000 in the response topic', 'malformed-packet'],
  ['publish', '03 0001 ff', 'a content type that is not UTF-8', 'malformed-packet'],
  ['publish', '03 0003 eda080', 'a surrogate in the content type', 'malformed-packet'],
  ['publish', '03 0002 c3bc', 'a content type of two bytes', undefined],
  ['publish', '09 0002 ff00', 'correlation data of any bytes', undefined],
  ['publish', '23 0000', 'topic alias 0 [MQTT-3.3.2-8]', 'topic-alias-invalid'],
  ['publish', '0b 00', 'subscription identifier 0', 'protocol-error'],
  ['publish', '0b 8000', 'an integer longer than it need be [MQTT-1.5.5-1]', 'malformed-packet'],
  ['publish', '0b 8001', 'an integer of two bytes', undefined],
  ['publish', '0b ffffffff 7f', 'an integer of five bytes', 'malformed-packet'],
  ['connect', '21 0000', 'receive maximum 0', 'protocol-error'],
  ['connect', '27 00000000', 'maximum packet size 0', 'protocol-error'],
  ['connect', '17 02', 'request problem information 2', 'protocol-error'],
  ['connect', '19 02', 'request response information 2', 'protocol-error'],
  ['connack', '24 02', 'maximum QoS 2', 'protocol-error'],
  ['connect', '26 0001 ff 0000', 'the name of a user property is not UTF-8', 'malformed-packet'],
  ['connect', '26 0000 0001 00', 'U+0000 in the value of a user property', 'malformed-packet'],
  ['connect', '26 0000 0000', 'a user property of nothing', undefined],
];

t.test('a value is in its range', async (t) => {
  for (const [owner, bytes, why, verdict] of values) t.equal(judge(owners[owner] as number, hex(bytes)), verdict, why);
});

t.test('the length of a section is as short as it can be, and the section lies within the packet', async (t) => {
  const start = (bytes: string): number =>
    new PropertyWalk().start(hex(bytes), 0, { end: hex(bytes).length, owner: packetType.connect });
  t.equal(start('00'), 1);
  t.equal(start('00 ff'), 1);
  t.equal(start('02 17 00'), 3);
  t.equal(start(''), -1);
  t.equal(start('03 17 00'), -1);
  t.equal(start('80 00'), -1, 'two bytes for 0 [MQTT-1.5.5-1]');
  t.equal(start('80'), -1);
  t.equal(start('ffffffff 7f'), -1);
});

t.test('text is judged as Node judges it, U+0000 apart', async (t) => {
  const texts: readonly [string, boolean][] = [
    ['', true],
    ['61', true],
    ['7f', true],
    ['01', true],
    ['00', false],
    ['6100', false],
    ['c3bc', true],
    ['c3bc00', false],
    ['00c3bc', false],
    ['c3', false],
    ['c080', false],
    ['eda080', false],
    ['f09f9880', true],
    ['f4908080', false],
    ['efbbbf', true],
    ['efbfbf', true],
  ];
  for (const [bytes, valid] of texts) {
    const around = Buffer.concat([Buffer.from([0xff]), hex(bytes), Buffer.from([0xff])]);
    t.equal(isTextAt(around, 1, around.length - 1), valid, bytes);
  }
});
