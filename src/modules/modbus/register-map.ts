// weir's own desired properties of the modbus module → Settings, or every mistake with its path.
//
//   { "buses":   { "line-1": { "type": "rtu", "port": "/dev/serial/by-id/…", "baud": 19200, "parity": "even" },
//                  "plc":    { "type": "tcp", "host": "10.0.0.7", "port": 502 } },
//     "devices": { "pump-1": { "bus": "line-1", "unit": 1,
//        "groups": { "fast": { "everyMs": 1000 } },
//        "tags":   { "speed": { "at": "input:4", "type": "f32", "group": "fast", "unit": "rpm" },
//                    "alarm": { "at": "holding:12.7", "group": "fast" },
//                    "name":  { "at": "holding:20+8", "type": "string", "group": "fast" } } } } }
//
// `at` is table:offset, 0-based as on the wire; `.n` is a bit of a register, `+n` the registers of a string.
// `report` stands at a device (for all its tags) or at a tag; `order` likewise. A device with one group needs no
// `group` at its tags. Nothing is read here of the world: whether a port exists shows when it is opened.

import {
  modbusBusesMax,
  modbusDevicesMax,
  modbusDeviceTagsMax,
  modbusPollMsMax,
  modbusPollMsMin,
  modbusReadBitsMax,
  modbusReadRegistersMax,
  modbusStringRegistersMax,
  modbusTimeoutMsMax,
} from '../../limits.ts';
import type { JsonObject } from '../../model/json.ts';
import type { ConfigProblem } from '../contract.ts';
import { SectionReader } from './section-reader.ts';
import {
  type Address,
  type Bus,
  type Device,
  type DownPolicy,
  type Group,
  gapMax,
  isBitTable,
  type ReadLimits,
  type Report,
  type RtuBus,
  registersByType,
  type Settings,
  silenceMs,
  type Table,
  type Tag,
  type TcpBus,
  type ValueType,
  type WordOrder,
} from './settings.ts';

export type ParsedSettings =
  | { readonly ok: true; readonly settings: Settings }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

const tables: readonly Table[] = ['coil', 'discrete', 'input', 'holding'];
const orders: readonly WordOrder[] = ['ABCD', 'BADC', 'CDAB', 'DCBA'];
const types: readonly ValueType[] = ['bool', 'i16', 'u16', 'i32', 'u32', 'f32', 'i64', 'u64', 'f64', 'string'];
const parities = ['none', 'even', 'odd'] as const;
const addressPattern = /^([a-z]+):(\d{1,5})(?:\.(\d{1,2})|\+(\d{1,3}))?$/;
const tableLength = 65_536;
const unitMax = 255;
const serialUnitMax = 247;
const portMax = 65_535;
const modbusPort = 502;
const baudMin = 300;
const baudMax = 4_000_000;
const bitMax = 15;
const defaults = {
  baud: 19_200,
  tcpTimeoutMs: 1000,
  rtuTimeoutMs: 500,
  retries: 1,
  rtuTurnaroundMs: 20,
  downAfter: 3,
  probeMs: [5000, 300_000],
} as const;

export function parseRegisterMap(desired: JsonObject): ParsedSettings {
  const root = new SectionReader(desired);
  const busSections = root.section('buses').entries();
  const deviceSections = root.section('devices').entries();
  root.end();
  if (busSections.length > modbusBusesMax) root.problem('buses', `are more than ${modbusBusesMax}`);
  if (deviceSections.length > modbusDevicesMax) root.problem('devices', `are more than ${modbusDevicesMax}`);
  const buses = busSections.map(([name, section]) => readBus(name, section));
  const devices = deviceSections.map(([name, section]) => readDevice(name, section, buses));
  if (root.problems.length > 0) return { ok: false, problems: root.problems };
  return { ok: true, settings: { buses, devices } };
}

function readBus(name: string, section: SectionReader): Bus {
  const type = section.oneOf('type', ['rtu', 'tcp']);
  const wire = type === 'tcp' ? readTcp(section) : readRtu(section);
  const bus: Bus = {
    name,
    wire,
    timeoutMs: section.integer('timeoutMs', {
      min: 1,
      max: modbusTimeoutMsMax,
      fallback: type === 'tcp' ? defaults.tcpTimeoutMs : defaults.rtuTimeoutMs,
    }),
    retries: section.integer('retries', { min: 0, max: 10, fallback: defaults.retries }),
    turnaroundMs: section.integer('turnaroundMs', {
      min: 0,
      max: modbusTimeoutMsMax,
      fallback: type === 'tcp' ? 0 : defaults.rtuTurnaroundMs,
    }),
  };
  section.end();
  return bus;
}

function readTcp(section: SectionReader): TcpBus {
  return {
    type: 'tcp',
    host: section.text('host'),
    port: section.integer('port', { min: 1, max: portMax, fallback: modbusPort }),
  };
}

function readRtu(section: SectionReader): RtuBus {
  const baud = section.integer('baud', { min: baudMin, max: baudMax, fallback: defaults.baud });
  const silence = section.value('silenceMs') ?? 'auto';
  if (silence !== 'auto' && !(typeof silence === 'number' && silence >= 0 && silence <= modbusTimeoutMsMax)) {
    section.problem('silenceMs', `is ${JSON.stringify(silence)}; give "auto" or milliseconds`);
  }
  return {
    type: 'rtu',
    port: section.text('port'),
    baud,
    parity: section.oneOf('parity', parities, 'even'),
    dataBits: section.oneOf('dataBits', [8, 7] as const, 8),
    stopBits: section.oneOf('stopBits', [1, 2] as const, 1),
    silenceMs: typeof silence === 'number' ? silence : silenceMs(baud),
  };
}

function readDevice(name: string, section: SectionReader, buses: readonly Bus[]): Device {
  const busName = section.text('bus');
  const bus = buses.find((candidate) => candidate.name === busName);
  if (bus === undefined && busName !== '') {
    section.problem(
      'bus',
      `'${busName}' is none of the buses: ${buses.map((known) => known.name).join(', ') || 'there is none'}`,
    );
  }
  const order = section.oneOf('order', orders, 'ABCD');
  const report = readReport(section.section('report'), undefined);
  const groupPeriods = section
    .section('groups')
    .entries()
    .map(([group, inner]) => [group, readPeriod(inner)] as const);
  if (groupPeriods.length === 0)
    section.problem('groups', 'are missing; give at least one, as {"all": {"everyMs": 1000}}');
  const tagSections = section.section('tags').entries();
  if (tagSections.length === 0) section.problem('tags', 'are missing; give at least one');
  if (tagSections.length > modbusDeviceTagsMax) section.problem('tags', `are more than ${modbusDeviceTagsMax}`);
  const tags = tagSections.map(([tag, inner]) =>
    readTag(tag, inner, { order, report, groups: groupPeriods.map(([group]) => group) }),
  );
  const device: Device = {
    name,
    bus: busName,
    unit: section.integer('unit', { min: 0, max: bus?.wire.type === 'rtu' ? serialUnitMax : unitMax }),
    groups: groupPeriods
      .map(
        ([group, everyMs]): Group => ({
          name: group,
          everyMs,
          tags: tags.filter((tag) => tag.group === group).map(({ tag }) => tag),
        }),
      )
      .filter((group) => group.tags.length > 0),
    down: readDown(section.section('down')),
    read: readLimits(section.section('read'), bus),
  };
  for (const { tag } of tags) {
    if (isBitTable(tag.at.table) || tag.at.length <= device.read.registersMax) continue;
    section.problem(
      `tags/${tag.name}/at`,
      `takes ${tag.at.length} registers, but read.registersMax is ${device.read.registersMax}`,
    );
  }
  if (bus?.wire.type === 'rtu' && device.unit === 0)
    section.problem('unit', '0 is the broadcast address; nobody answers it');
  section.end();
  return device;
}

function readPeriod(section: SectionReader): number {
  const everyMs = section.integer('everyMs', { min: modbusPollMsMin, max: modbusPollMsMax });
  section.end();
  return everyMs;
}

function readReport(section: SectionReader, inherited: Report | undefined): Report {
  const deadband = section.number('deadband', inherited?.deadband ?? 0);
  if (deadband < 0) section.problem('deadband', `is ${deadband}; give 0 or more`);
  const report = {
    // A dead-band or a longest silence only makes sense for values that are otherwise left out.
    onChange: section.boolean('onChange', section.has('deadband') || (inherited?.onChange ?? false)),
    deadband,
    maxSilenceMs: section.integer('maxSilenceMs', {
      min: 0,
      max: modbusPollMsMax,
      fallback: inherited?.maxSilenceMs ?? 0,
    }),
  };
  section.end();
  return report;
}

function readDown(section: SectionReader): DownPolicy {
  const after = section.integer('after', { min: 1, max: 1000, fallback: defaults.downAfter });
  const probeMs = section.value('probeMs') ?? defaults.probeMs;
  section.end();
  const [first, longest] = Array.isArray(probeMs) ? (probeMs as readonly unknown[]) : [];
  const isRight =
    typeof first === 'number' &&
    typeof longest === 'number' &&
    first >= modbusPollMsMin &&
    longest >= first &&
    longest <= modbusPollMsMax;
  if (isRight) return { after, probeMs: [first, longest] };
  section.problem('probeMs', `is ${JSON.stringify(probeMs)}; give the first and the longest pause, as [5000, 300000]`);
  return { after, probeMs: defaults.probeMs };
}

function readLimits(section: SectionReader, bus: Bus | undefined): ReadLimits {
  const limits = {
    registersMax: section.integer('registersMax', {
      min: 1,
      max: modbusReadRegistersMax,
      fallback: modbusReadRegistersMax,
    }),
    bitsMax: section.integer('bitsMax', { min: 1, max: modbusReadBitsMax, fallback: modbusReadBitsMax }),
    gapMax: section.integer('gapMax', {
      min: 0,
      max: modbusReadRegistersMax,
      fallback: bus === undefined ? 0 : gapMax(bus.wire, bus.turnaroundMs),
    }),
  };
  section.end();
  return limits;
}

interface Inherited {
  readonly order: WordOrder;
  readonly report: Report;
  readonly groups: readonly string[];
}

function readTag(
  name: string,
  section: SectionReader,
  inherited: Inherited,
): { readonly group: string; readonly tag: Tag } {
  const [onlyGroup] = inherited.groups;
  const group = section.oneOf(
    'group',
    inherited.groups.length === 0 ? [''] : inherited.groups,
    inherited.groups.length <= 1 ? (onlyGroup ?? '') : undefined,
  );
  const { at, type } = readAddress(section);
  const access = section.oneOf('access', ['r', 'rw'] as const, 'r');
  const tag: Tag = {
    name,
    at,
    type,
    order: section.oneOf('order', orders, inherited.order),
    scale: section.number('scale', 1),
    offset: section.number('offset', 0),
    unit: section.has('unit') ? section.text('unit') : undefined,
    isWritable: access === 'rw',
    min: section.optionalNumber('min'),
    max: section.optionalNumber('max'),
    report: readReport(section.section('report'), inherited.report),
  };
  if (tag.scale === 0) section.problem('scale', 'is 0; every value would be the same');
  if (tag.isWritable && (at.table === 'input' || at.table === 'discrete')) {
    section.problem(
      'access',
      `is rw, but ${at.table === 'input' ? 'input registers' : 'discrete inputs'} cannot be written`,
    );
  }
  if ((type === 'bool' || type === 'string') && (tag.scale !== 1 || tag.offset !== 0)) {
    section.problem('scale', `and offset do not apply to a ${type}`);
  }
  section.end();
  return { group, tag };
}

function readAddress(section: SectionReader): { readonly at: Address; readonly type: ValueType } {
  const text = section.text('at');
  const [, tableName, offsetText, bitText, lengthText] = addressPattern.exec(text) ?? [];
  const table = tables.find((candidate) => candidate === tableName);
  const isBit = bitText !== undefined || (table !== undefined && isBitTable(table));
  const type = section.oneOf('type', types, isBit ? 'bool' : 'u16');
  if (table === undefined || offsetText === undefined) {
    if (text !== '')
      section.problem(
        'at',
        `is '${text}'; give table:offset, as holding:40, coil:3, holding:12.7 (bit) or holding:20+8 (string)`,
      );
    return { at: { table: 'holding', offset: 0, length: 1, bit: undefined }, type };
  }
  const length = type === 'string' ? Number(lengthText ?? 0) : isBitTable(table) ? 1 : registersByType[type];
  const at: Address = {
    table,
    offset: Number(offsetText),
    length,
    bit: bitText === undefined ? undefined : Number(bitText),
  };
  checkAddress(section, at, { type, isBit, hasLength: lengthText !== undefined });
  return { at, type };
}

interface AddressFacts {
  readonly type: ValueType;
  readonly isBit: boolean;
  readonly hasLength: boolean;
}

function checkAddress(section: SectionReader, at: Address, { type, isBit, hasLength }: AddressFacts): void {
  if (isBit && type !== 'bool')
    section.problem('type', `is ${type}, but the address is one bit; leave it out or give bool`);
  if (!isBit && type === 'bool') section.problem('at', 'is a whole register; for a bool name the bit, as holding:12.7');
  if (at.bit !== undefined && (at.bit > bitMax || isBitTable(at.table))) {
    section.problem('at', 'has a bit; only the bits 0 to 15 of a register can be named');
  }
  if (hasLength && type !== 'string')
    section.problem('at', `has a length, but the type is ${type}; only strings have one`);
  if (type === 'string' && (at.length < 1 || at.length > modbusStringRegistersMax)) {
    section.problem('at', `needs the registers of the string, 1 to ${modbusStringRegistersMax}, as holding:20+8`);
  }
  if (at.offset + at.length > tableLength)
    section.problem('at', `ends after ${tableLength - 1}; the table is not that long`);
}
