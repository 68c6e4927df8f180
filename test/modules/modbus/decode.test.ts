import t from 'tap';
import type { JsonObject } from '../../../src/model/json.ts';
import { decode, encode, encodeBit } from '../../../src/modules/modbus/decode.ts';
import { parseRegisterMap } from '../../../src/modules/modbus/register-map.ts';
import type { Tag, ValueType, WordOrder } from '../../../src/modules/modbus/settings.ts';
import { seededEntropy } from '../../support/sim-entropy.ts';

function tagOf(section: JsonObject): Tag {
  const parsed = parseRegisterMap({
    buses: { b: { type: 'tcp', host: 'h' } },
    devices: { d: { bus: 'b', unit: 1, groups: { g: { everyMs: 1000 } }, tags: { t: section } } },
  });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.settings.devices[0]!.groups[0]!.tags[0]!;
}

t.test('registers become values as the table says', async (t) => {
  const rows: readonly (readonly [JsonObject, readonly number[], unknown, string?])[] = [
    [{ at: 'coil:3' }, [1], true],
    [{ at: 'discrete:3' }, [0], false],
    [{ at: 'holding:12.7' }, [0x0080], true],
    [{ at: 'holding:12.7' }, [0xff7f], false],
    [{ at: 'holding:12.7', order: 'BADC' }, [0x8000], true],
    [{ at: 'holding:1', type: 'i16' }, [0xfffe], -2],
    [{ at: 'holding:1', type: 'u16', order: 'BADC' }, [0x3412], 0x1234],
    [{ at: 'holding:1', type: 'i16', scale: 0.1 }, [253], 25.3],
    [{ at: 'holding:1', type: 'u16', scale: 0.5, offset: -40 }, [100], 10],
    [{ at: 'holding:1', type: 'u32' }, [0x1234, 0x5678], 0x12345678],
    [{ at: 'holding:1', type: 'u32', order: 'CDAB' }, [0x5678, 0x1234], 0x12345678],
    [{ at: 'holding:1', type: 'u32', order: 'BADC' }, [0x3412, 0x7856], 0x12345678],
    [{ at: 'holding:1', type: 'u32', order: 'DCBA' }, [0x7856, 0x3412], 0x12345678],
    [{ at: 'holding:1', type: 'i32' }, [0xffff, 0xffff], -1],
    [{ at: 'holding:1', type: 'f32' }, [0x4144, 0xcccd], 12.3],
    [{ at: 'holding:1', type: 'f32' }, [0x7fc0, 0], null, 'bad:range'],
    [{ at: 'holding:1', type: 'f32' }, [0xff80, 0], null, 'bad:range'],
    [{ at: 'holding:1', type: 'f64' }, [0x3ff8, 0, 0, 0], 1.5],
    [{ at: 'holding:1', type: 'u64' }, [0, 0, 1, 2], 65538],
    [{ at: 'holding:1', type: 'u64', order: 'CDAB' }, [2, 1, 0, 0], 65538],
    [{ at: 'holding:1', type: 'u64' }, [0xffff, 0xffff, 0xffff, 0xffff], '18446744073709551615'],
    [{ at: 'holding:1', type: 'i64' }, [0xffff, 0xffff, 0xffff, 0xfffe], -2],
    [{ at: 'holding:1+4', type: 'string' }, [0x5055, 0x4d50, 0x2031, 0], 'PUMP 1'],
    [{ at: 'holding:1+2', type: 'string', order: 'BADC' }, [0x5550, 0x504d], 'PUMP'],
    [{ at: 'holding:1+2', type: 'string', order: 'CDAB' }, [0x5055, 0x4d50], 'PUMP'],
  ];
  for (const [section, words, v, q = 'good'] of rows)
    t.same(decode(tagOf(section), words), { v, q }, JSON.stringify(section));
});

t.test('what does not fit is refused with the reason', async (t) => {
  const rows: readonly (readonly [JsonObject, unknown, RegExp])[] = [
    [{ at: 'holding:1', type: 'u16' }, 65_536, /does not fit into u16/],
    [{ at: 'holding:1', type: 'u16' }, -1, /does not fit/],
    [{ at: 'holding:1', type: 'i16' }, 'x', /is no number/],
    [{ at: 'holding:1', type: 'i16' }, Number.NaN, /is no number/],
    [{ at: 'holding:1', type: 'i16', access: 'rw', min: -20, max: 90 }, 91, /is above 90/],
    [{ at: 'holding:1', type: 'i16', access: 'rw', min: -20, max: 90 }, -21, /is below -20/],
    [{ at: 'holding:1', type: 'f32' }, 1e39, /does not fit/],
    [{ at: 'coil:1' }, 1, /no true or false/],
    [{ at: 'holding:1+2', type: 'string' }, 'PUMPS', /longer than 4/],
    [{ at: 'holding:1+2', type: 'string' }, 'Ж', /Latin-1/],
  ];
  for (const [section, value, reason] of rows) {
    const encoded = encode(tagOf(section), value);
    t.equal(encoded.ok, false);
    if (!encoded.ok) t.match(encoded.reason, reason);
  }
});

t.test('any value survives the way through the registers in every type and order', async (t) => {
  const entropy = seededEntropy(4711);
  const types: readonly ValueType[] = ['i16', 'u16', 'i32', 'u32', 'f32', 'i64', 'u64', 'f64'];
  const orders: readonly WordOrder[] = ['ABCD', 'BADC', 'CDAB', 'DCBA'];
  let checked = 0;
  for (let round = 0; round < 4000; round += 1) {
    const type = types[round % types.length]!;
    const order = orders[Math.floor(round / types.length) % orders.length]!;
    const tag = tagOf({ at: 'holding:0', type, order });
    const bytes = entropy.bytes(tag.at.length * 2);
    const words = Array.from({ length: tag.at.length }, (_, index) => (bytes[index * 2]! << 8) | bytes[index * 2 + 1]!);
    const { v, q } = decode(tag, words);
    if (q !== 'good') continue;
    const encoded = encode(tag, v);
    // Minus zero is the one value JSON does not keep.
    if (v === 0) continue;
    if (!encoded.ok) throw new Error(`${type} ${order} ${String(v)}: ${encoded.reason}`);
    if (JSON.stringify(encoded.words) !== JSON.stringify(words))
      throw new Error(`${type} ${order} ${words.join()} came back as ${encoded.words.join()}`);
    checked += 1;
  }
  t.ok(checked > 3900, `${checked} values checked`);
});

t.test('a bit is changed without touching its neighbours', async (t) => {
  const tag = tagOf({ at: 'holding:0.7' });
  t.equal(encodeBit(tag, 0x0001, true), 0x0081);
  t.equal(encodeBit(tag, 0xffff, false), 0xff7f);
  t.equal(encodeBit(tagOf({ at: 'holding:0.7', order: 'BADC' }), 0x0100, true), 0x8100);
});
