// What a modbus module is told to do, parsed and checked: buses, devices, groups, tags.
//
// Types only, and the defaults. `register-map.ts` makes them from weir's own desired properties, `azure-schema.ts`
// from those of Azure's Modbus module; everything behind trusts them and checks nothing again.
//
// A bus is one serial line or one TCP connection: one transaction at a time. A device is a unit on a bus. A group
// is a set of its tags read together at one period. A tag is a named value at an address.

export type Table = 'coil' | 'discrete' | 'input' | 'holding';

export type ValueType = 'bool' | 'i16' | 'u16' | 'i32' | 'u32' | 'f32' | 'i64' | 'u64' | 'f64' | 'string';

/**
 * Order of the bytes on the wire, for a value ABCD (most significant byte first):
 * ABCD as the protocol intends, CDAB words swapped, BADC bytes swapped in each word, DCBA both.
 * Of 64 bits: ABCDEFGH, GHEFCDAB, BADCFEHG, HGFEDCBA. Of 16 bits only the byte swap is left.
 */
export type WordOrder = 'ABCD' | 'BADC' | 'CDAB' | 'DCBA';

export interface TcpBus {
  readonly type: 'tcp';
  readonly host: string;
  readonly port: number;
}

export interface RtuBus {
  readonly type: 'rtu';
  readonly port: string;
  readonly baud: number;
  readonly parity: 'none' | 'even' | 'odd';
  readonly dataBits: 7 | 8;
  readonly stopBits: 1 | 2;
  /** Quiet time between frames (t3.5), milliseconds. */
  readonly silenceMs: number;
}

export interface Bus {
  readonly name: string;
  readonly wire: TcpBus | RtuBus;
  readonly timeoutMs: number;
  /** Repetitions of a failed transaction before it counts as failed. */
  readonly retries: number;
  /** Pause after each reply before the next request. */
  readonly turnaroundMs: number;
}

export interface Address {
  readonly table: Table;
  /** 0-based, as on the wire. */
  readonly offset: number;
  /** Registers or bits the value takes. */
  readonly length: number;
  /** Bit 0–15 inside one register. */
  readonly bit: number | undefined;
}

export interface Report {
  /** Leave values out that have not moved since they were last published. */
  readonly onChange: boolean;
  /** How far a number has to be from the last published one to have moved. */
  readonly deadband: number;
  /** Publish anyway after this long; 0 means never. */
  readonly maxSilenceMs: number;
}

export interface Tag {
  readonly name: string;
  readonly at: Address;
  readonly type: ValueType;
  readonly order: WordOrder;
  /** published = read × scale + offset */
  readonly scale: number;
  readonly offset: number;
  readonly unit: string | undefined;
  readonly isWritable: boolean;
  /** Lowest and highest value that may be written, in published units. */
  readonly min: number | undefined;
  readonly max: number | undefined;
  readonly report: Report;
}

export interface Group {
  readonly name: string;
  readonly everyMs: number;
  readonly tags: readonly Tag[];
}

export interface DownPolicy {
  /** Failed polls in a row after which the device counts as down. */
  readonly after: number;
  /** First and longest pause between two probes. */
  readonly probeMs: readonly [number, number];
}

export interface ReadLimits {
  readonly registersMax: number;
  readonly bitsMax: number;
  /** Unused registers (or bits) read along rather than asking twice. */
  readonly gapMax: number;
}

export interface Device {
  readonly name: string;
  readonly bus: string;
  readonly unit: number;
  readonly groups: readonly Group[];
  readonly down: DownPolicy;
  readonly read: ReadLimits;
}

export interface Settings {
  readonly buses: readonly Bus[];
  readonly devices: readonly Device[];
}

/** 115200 baud and below have a character of 11 bits: start, eight data, parity or second stop, stop. */
const bitsPerCharacter = 11;
const fastBaud = 19_200;
const fastSilenceMs = 1.75;
const silentCharacters = 3.5;
const msPerSecond = 1000;

/** t3.5 of MODBUS over serial line 1.02, 2.5.1.1: 3.5 characters, fixed at 1.75 ms above 19200 baud. */
export function silenceMs(baud: number): number {
  return baud > fastBaud ? fastSilenceMs : (silentCharacters * bitsPerCharacter * msPerSecond) / baud;
}

/** Time `bytes` take on a serial line. */
export function lineTimeMs(bytes: number, baud: number): number {
  return (bytes * bitsPerCharacter * msPerSecond) / baud;
}

const requestBytes = 8;
const responseOverheadBytes = 5;
const tcpGapMax = 50;

/**
 * Registers worth reading along: another request costs its own bytes, the reply's overhead and two silences; a
 * register costs two bytes. Over TCP a round trip costs more than any gap within the limit.
 */
export function gapMax(wire: TcpBus | RtuBus, turnaroundMs: number): number {
  if (wire.type === 'tcp') return tcpGapMax;
  const pauseBytes = (2 * wire.silenceMs + turnaroundMs) / lineTimeMs(1, wire.baud);
  return Math.min(tcpGapMax, Math.floor((requestBytes + responseOverheadBytes + pauseBytes) / 2));
}

export function isBitTable(table: Table): boolean {
  return table === 'coil' || table === 'discrete';
}

export const registersByType: Readonly<Record<Exclude<ValueType, 'string'>, number>> = {
  bool: 1,
  i16: 1,
  u16: 1,
  i32: 2,
  u32: 2,
  f32: 2,
  i64: 4,
  u64: 4,
  f64: 4,
};
