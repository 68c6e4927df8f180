// The desired properties of Azure's Modbus module → Settings, so that a deployment written for it works unchanged.
//
//   { "PublishInterval": "2000", "SlaveConfigs": { "Slave01": {
//       "SlaveConnection": "192.168.0.1" | "ttyS0", "TcpPort": "502", "HwId": "PowerMeter-0a:01",
//       "BaudRate": "9600", "StopBits": "1", "DataBits": "8", "Parity": "ODD", "RetryCount": "10", "RetryInterval": "50",
//       "Operations": { "Op01": { "PollingInterval": "1000", "UnitId": "1", "StartAddress": "40001", "Count": "2",
//                                 "DisplayName": "Voltage", "CorrelationId": "MessageType1" } } } } }
//
// Numbers come as texts or numbers. StartAddress is the table's digit (0 coil, 1 discrete input, 3 input register,
// 4 holding register) and a 1-based number of 4 or 5 digits. An operation becomes a group, each of its addresses a
// tag named by its own address text. RetryCount × RetryInterval is how long that module waits for an answer, not
// how often it asks. Members it does not have are ignored, as there. Its typed ("complex") values are refused.

import {
  modbusPollMsMax,
  modbusPollMsMin,
  modbusReadBitsMax,
  modbusReadRegistersMax,
  modbusTimeoutMsMax,
} from '../../limits.ts';
import { isJsonObject, type JsonObject } from '../../model/json.ts';
import type { ConfigProblem } from '../contract.ts';
import { SectionReader } from './section-reader.ts';
import {
  type Bus,
  type Device,
  type Group,
  gapMax,
  isBitTable,
  type RtuBus,
  type Settings,
  silenceMs,
  type Table,
  type Tag,
  type TcpBus,
} from './settings.ts';

/** What the published message needs to know of an operation. */
export interface AzureOperation {
  readonly hwId: string;
  readonly displayName: string;
  readonly correlationId: string;
}

export interface AzureSettings {
  readonly settings: Settings;
  readonly publishMs: number;
  /** By group: an operation is one group. */
  readonly operations: ReadonlyMap<Group, AzureOperation>;
  /** Buses by HwId, for write commands. */
  readonly busByHwId: ReadonlyMap<string, string>;
}

export type ParsedAzure =
  | ({ readonly ok: true } & AzureSettings)
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

export interface AzureAddress {
  readonly table: Table;
  readonly offset: number;
  /** Digits behind the table's: 4 or 5. */
  readonly digits: number;
}

const tableByDigit: Readonly<Record<string, Table>> = { 0: 'coil', 1: 'discrete', 3: 'input', 4: 'holding' };
const digitByTable: Readonly<Record<Table, string>> = { coil: '0', discrete: '1', input: '3', holding: '4' };
const defaults = { publishMs: 2000, pollMs: 1000, retryCount: 10, retryMs: 50, tcpPort: 502, baud: 9600 } as const;
const timeoutMsMin = 100;
const probeMs = [5000, 300_000] as const;
const unitMax = 255;
const portMax = 65_535;
const baudMax = 4_000_000;
const retriesMax = 1000;
const tableLength = 65_536;

export function isAzureSchema(desired: JsonObject): boolean {
  return isJsonObject(desired['SlaveConfigs']);
}

export function parseAzureSchema(desired: JsonObject): ParsedAzure {
  const root = new SectionReader(desired);
  const publishMs = integer(root, 'PublishInterval', {
    min: modbusPollMsMin,
    max: modbusPollMsMax,
    fallback: defaults.publishMs,
  });
  const buses = new Map<string, Bus>();
  const devices: Device[] = [];
  const operations = new Map<Group, AzureOperation>();
  const busByHwId = new Map<string, string>();
  for (const [slave, section] of root.section('SlaveConfigs').entries()) {
    const bus = readBus(section);
    buses.set(bus.name, bus);
    const hwId = section.text('HwId');
    busByHwId.set(hwId, bus.name);
    devices.push(...readDevices(slave, section, { bus, hwId, operations }));
  }
  if (root.problems.length > 0) return { ok: false, problems: root.problems };
  return { ok: true, settings: { buses: [...buses.values()], devices }, publishMs, operations, busByHwId };
}

/** Undefined when it is no address: `40001`, `400001`. */
export function parseAzureAddress(text: string): AzureAddress | undefined {
  const [, digit = '', number = ''] = /^([0134])(\d{4,5})$/.exec(text) ?? [];
  const table = tableByDigit[digit];
  const offset = Number(number) - 1;
  if (table === undefined || offset < 0 || offset >= tableLength) return undefined;
  return { table, offset, digits: number.length };
}

function readBus(section: SectionReader): Bus {
  const connection = section.text('SlaveConnection');
  if (/^COM\d/i.test(connection))
    section.problem('SlaveConnection', `is '${connection}', a Windows port; give the Linux name, as ttyS0`);
  const isSerial = connection.startsWith('tty') || connection.startsWith('/dev/');
  const wire = isSerial ? readRtu(section, connection) : readTcp(section, connection);
  const retryCount = integer(section, 'RetryCount', { min: 1, max: retriesMax, fallback: defaults.retryCount });
  const retryMs = integer(section, 'RetryInterval', { min: 1, max: modbusTimeoutMsMax, fallback: defaults.retryMs });
  return {
    name: wire.type === 'tcp' ? `${wire.host}:${wire.port}` : wire.port,
    wire,
    timeoutMs: Math.min(modbusTimeoutMsMax, Math.max(timeoutMsMin, retryCount * retryMs)),
    retries: 1,
    turnaroundMs: 0,
  };
}

function readTcp(section: SectionReader, host: string): TcpBus {
  return { type: 'tcp', host, port: integer(section, 'TcpPort', { min: 1, max: portMax, fallback: defaults.tcpPort }) };
}

function readRtu(section: SectionReader, connection: string): RtuBus {
  const baud = integer(section, 'BaudRate', { min: 1, max: baudMax, fallback: defaults.baud });
  const parity = section.text('Parity', 'NONE').toLowerCase();
  if (parity !== 'none' && parity !== 'odd' && parity !== 'even')
    section.problem('Parity', `is '${parity}'; give ODD, EVEN or NONE`);
  return {
    type: 'rtu',
    port: connection.startsWith('/') ? connection : `/dev/${connection}`,
    baud,
    parity: parity === 'odd' || parity === 'even' ? parity : 'none',
    dataBits: integer(section, 'DataBits', { min: 7, max: 8, fallback: 8 }) === 7 ? 7 : 8,
    stopBits: integer(section, 'StopBits', { min: 1, max: 2, fallback: 1 }) === 2 ? 2 : 1,
    silenceMs: silenceMs(baud),
  };
}

interface SlaveFacts {
  readonly bus: Bus;
  readonly hwId: string;
  /** Filled while reading. */
  readonly operations: Map<Group, AzureOperation>;
}

/** One device per unit that the slave's operations name. */
function readDevices(slave: string, section: SectionReader, { bus, hwId, operations }: SlaveFacts): readonly Device[] {
  const groupsByUnit = new Map<number, Group[]>();
  for (const [name, operation] of section.section('Operations').entries()) {
    const unit = integer(operation, 'UnitId', { min: 0, max: unitMax });
    const group = readGroup(name, operation);
    operations.set(group, {
      hwId,
      displayName: operation.text('DisplayName', name),
      correlationId: operation.text('CorrelationId', 'DefaultCorrelationId'),
    });
    groupsByUnit.set(unit, [...(groupsByUnit.get(unit) ?? []), group]);
  }
  return [...groupsByUnit].map(([unit, groups]) => ({
    name: groupsByUnit.size === 1 ? slave : `${slave}-${unit}`,
    bus: bus.name,
    unit,
    groups,
    down: { after: 3, probeMs },
    read: {
      registersMax: modbusReadRegistersMax,
      bitsMax: modbusReadBitsMax,
      gapMax: gapMax(bus.wire, bus.turnaroundMs),
    },
  }));
}

function readGroup(name: string, section: SectionReader): Group {
  const everyMs = integer(section, 'PollingInterval', {
    min: modbusPollMsMin,
    max: modbusPollMsMax,
    fallback: defaults.pollMs,
  });
  const text = section.text('StartAddress');
  const start = parseAzureAddress(text);
  if (start === undefined && text !== '')
    section.problem('StartAddress', `is '${text}'; give the table's digit 0, 1, 3 or 4 and a number from 1, as 40001`);
  if (!section.boolean('IsSimpleValue', true))
    section.problem('IsSimpleValue', "is false; for typed values use weir's own schema (buses, devices, tags)");
  const at = start ?? { table: 'holding', offset: 0, digits: 4 };
  const countMax = isBitTable(at.table) ? modbusReadBitsMax : modbusReadRegistersMax;
  const count = integer(section, 'Count', { min: 1, max: countMax });
  return {
    name,
    everyMs,
    tags: Array.from({ length: count }, (_, index) => tagAt({ ...at, offset: at.offset + index })),
  };
}

function tagAt({ table, offset, digits }: AzureAddress): Tag {
  return {
    name: digitByTable[table] + String(offset + 1).padStart(digits, '0'),
    at: { table, offset, length: 1, bit: undefined },
    type: isBitTable(table) ? 'bool' : 'u16',
    order: 'ABCD',
    scale: 1,
    offset: 0,
    unit: undefined,
    isWritable: false,
    min: undefined,
    max: undefined,
    report: { onChange: false, deadband: 0, maxSilenceMs: 0 },
  };
}

/** A whole number, written as one or as a text. */
function integer(
  section: SectionReader,
  name: string,
  range: { readonly min: number; readonly max: number; readonly fallback?: number },
): number {
  const value = section.value(name);
  if (typeof value !== 'string') return section.integer(name, range);
  const number = Number(value);
  if (/^\d+$/.test(value) && number >= range.min && number <= range.max) return number;
  section.problem(name, `is '${value}'; give a whole number from ${range.min} to ${range.max}`);
  return range.fallback ?? range.min;
}
