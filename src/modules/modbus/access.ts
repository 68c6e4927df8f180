// Reading and writing single tags on demand: direct methods and input messages.
//
//   read   {"device":"pump-1","tags":["speed"]}            → {"device":…,"values":{"speed":{"v":…,"q":…,"unit":…}}}
//   write  {"device":"pump-1","tag":"setpoint","value":40} → {"device":…,"tag":…,"value":40,"read":40,"verified":true}
//
// A write is checked against access, type and range, done as one turn on the bus (a bit is read, changed and
// written within that turn), then read back. `verified` is false when the device holds another value
// afterwards; the answer carries both and the status is 409. All mistakes are ModuleRequestErrors.

import { isJsonObject, type JsonObject, type JsonValue } from '../../model/json.ts';
import type { MethodAnswer } from '../contract.ts';
import { ModuleRequestError } from '../errors.ts';
import { decode, encode, encodeBit, type Sample } from './decode.ts';
import { ModbusFailure } from './failure.ts';
import type { Line } from './line.ts';
import type { Device, Tag } from './settings.ts';

/** Runs work on the bus of a device. */
export type OnBus = <Answer>(device: Device, work: (line: Line) => Promise<Answer>) => Promise<Answer>;

const statusOk = 200;
const statusBadRequest = 400;
const statusForbidden = 403;
const statusNotFound = 404;
const statusConflict = 409;
const statusBadGateway = 502;

export class TagAccess {
  readonly #devices: readonly Device[];
  readonly #onBus: OnBus;

  constructor(devices: readonly Device[], onBus: OnBus) {
    this.#devices = devices;
    this.#onBus = onBus;
  }

  async read(payload: JsonValue): Promise<MethodAnswer> {
    const request = objectOf(payload, '{"device": …, "tags": […]}');
    const device = this.#device(request);
    const names = request['tags'] ?? tagsOf(device).map(({ name }) => name);
    if (!Array.isArray(names)) throw wrong('tags has to be a list of names.');
    const tags = (names as readonly JsonValue[]).map((name) => tagOf(device, name));
    const values = await this.#onBus(device, async (line) => {
      const read: Record<string, JsonObject> = {};
      for (const tag of tags)
        read[tag.name] = {
          ...(await sampleOf(line, device, tag)),
          ...(tag.unit === undefined ? {} : { unit: tag.unit }),
        };
      return read;
    });
    return { status: statusOk, payload: { device: device.name, values } };
  }

  async write(payload: JsonValue): Promise<MethodAnswer> {
    const request = objectOf(payload, '{"device": …, "tag": …, "value": …}');
    const device = this.#device(request);
    const tag = tagOf(device, request['tag']);
    const value = request['value'];
    if (!tag.isWritable) throw refusal(statusForbidden, `The tag '${tag.name}' is read-only; give it "access": "rw".`);
    if (value === undefined) throw wrong('value is missing.');
    const read = await this.#onBus(device, (line) => writeTag(line, { device, tag, value }));
    const verified = read.q === 'good' && isSame(tag, value, read);
    const status = verified ? statusOk : statusConflict;
    return { status, payload: { device: device.name, tag: tag.name, value, read: read.v, verified } };
  }

  #device(request: JsonObject): Device {
    const name = request['device'];
    const device = this.#devices.find((candidate) => candidate.name === name);
    if (device !== undefined) return device;
    throw refusal(
      statusNotFound,
      `There is no device ${JSON.stringify(name ?? null)}. There are: ${namesOf(this.#devices)}.`,
    );
  }
}

async function writeTag(
  line: Line,
  { device, tag, value }: { readonly device: Device; readonly tag: Tag; readonly value: JsonValue },
): Promise<Sample> {
  const { unit } = device;
  const { table, offset, length, bit } = tag.at;
  if (table !== 'coil' && table !== 'holding')
    throw refusal(statusForbidden, `The table '${table}' cannot be written.`);
  try {
    if (bit === undefined) {
      const encoded = encode(tag, value);
      if (!encoded.ok) throw wrong(`The value ${JSON.stringify(value)} for '${tag.name}' ${encoded.reason}.`);
      await line.write({ unit, table, offset, words: encoded.words });
    } else {
      if (typeof value !== 'boolean')
        throw wrong(`The value ${JSON.stringify(value)} for '${tag.name}' is no true or false.`);
      const [register = 0] = await line.read({ unit, table, offset, count: length });
      await line.write({ unit, table, offset, words: [encodeBit(tag, register, value)] });
    }
    return await sampleOf(line, device, tag);
  } catch (error) {
    if (!(error instanceof ModbusFailure)) throw error;
    throw new ModuleRequestError({ status: statusBadGateway, code: error.code, message: error.message, cause: error });
  }
}

async function sampleOf(line: Line, { unit }: Device, tag: Tag): Promise<Sample> {
  const { table, offset, length } = tag.at;
  try {
    return decode(tag, await line.read({ unit, table, offset, count: length }));
  } catch (error) {
    if (error instanceof ModbusFailure) return { v: null, q: error.quality };
    throw error;
  }
}

/** Equal after the way through the registers: a value of more digits than they hold is verified by what they hold. */
function isSame(tag: Tag, wanted: JsonValue, read: Sample): boolean {
  if (tag.at.bit !== undefined) return read.v === wanted;
  const encoded = encode(tag, wanted);
  return encoded.ok && decode(tag, encoded.words).v === read.v;
}

function tagsOf(device: Device): readonly Tag[] {
  return device.groups.flatMap(({ tags }) => tags);
}

function tagOf(device: Device, name: JsonValue | undefined): Tag {
  const tag = tagsOf(device).find((candidate) => candidate.name === name);
  if (tag !== undefined) return tag;
  throw refusal(
    statusNotFound,
    `The device '${device.name}' has no tag ${JSON.stringify(name ?? null)}. It has: ${namesOf(tagsOf(device))}.`,
  );
}

function namesOf(named: readonly { readonly name: string }[]): string {
  return named.map(({ name }) => name).join(', ') || 'none';
}

function objectOf(payload: JsonValue, shape: string): JsonObject {
  if (isJsonObject(payload)) return payload;
  throw wrong(`Give ${shape}.`);
}

function wrong(message: string): ModuleRequestError {
  return refusal(statusBadRequest, message);
}

function refusal(status: number, message: string): ModuleRequestError {
  return new ModuleRequestError({ status, message });
}
