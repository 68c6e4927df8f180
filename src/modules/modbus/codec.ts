// The one door to modbus-serial: requests → frames, frames → values.
//
// The package gets a port object of ours. It writes a request to the port; the port hands the frame to whoever
// has the wire, and gives the answer back as one `data` event. Both are in the RTU form. The package checks unit,
// function, length and CRC once more and reads the values. Its own timer stays off (`_timeout` is null), so a
// failed exchange is reported by us and its transaction is simply overwritten by the next.
//
// The package requires serialport when it is loaded, therefore load() imports it when the first bus is used.

import { EventEmitter } from 'node:events';
import type { ModbusRTU } from 'modbus-serial/ModbusRTU.js';
import { errorMessage } from '../../model/errors.ts';
import { ModbusFailure } from './failure.ts';
import { isBitTable, type Table } from './settings.ts';

/** Sends a frame and resolves with its answer, both in the RTU form. Throws ModbusFailure. */
export type Exchange = (frame: Uint8Array) => Promise<Buffer>;

export interface ReadRequest {
  readonly unit: number;
  readonly table: Table;
  readonly offset: number;
  readonly count: number;
}

export interface WriteRequest {
  readonly unit: number;
  readonly table: 'coil' | 'holding';
  readonly offset: number;
  /** Registers, or one 0 or 1 for a coil. */
  readonly words: readonly number[];
}

interface Refusal extends Error {
  /** Exception code of the slave. */
  readonly modbusCode?: number;
}

type Callback<Result> = (error: Refusal | null, result: Result) => void;

export class ModbusCodec {
  readonly #port = new CodecPort();
  readonly #master: ModbusRTU;

  /** Imports modbus-serial. */
  static async load(): Promise<ModbusCodec> {
    const { default: loaded } = await import('modbus-serial');
    return new ModbusCodec(loaded.default);
  }

  constructor(Master: typeof ModbusRTU) {
    this.#master = new Master(this.#port);
    this.#master.open();
  }

  async read(request: ReadRequest, exchange: Exchange): Promise<readonly number[]> {
    const { unit, table, offset, count } = request;
    if (isBitTable(table)) {
      const { data } = await this.#transact<{ readonly data: readonly boolean[] }>(exchange, (done) => {
        if (table === 'coil') this.#master.writeFC1(unit, offset, count, done);
        else this.#master.writeFC2(unit, offset, count, done);
      });
      // The answer comes in whole bytes.
      return data.slice(0, count).map(Number);
    }
    const { data } = await this.#transact<{ readonly data: readonly number[] }>(exchange, (done) => {
      if (table === 'holding') this.#master.writeFC3(unit, offset, count, done);
      else this.#master.writeFC4(unit, offset, count, done);
    });
    return data;
  }

  async write({ unit, table, offset, words }: WriteRequest, exchange: Exchange): Promise<void> {
    const [first = 0] = words;
    await this.#transact<unknown>(exchange, (done) => {
      if (table === 'coil') this.#master.writeFC5(unit, offset, first !== 0, done);
      else if (words.length === 1) this.#master.writeFC6(unit, offset, first, done);
      else this.#master.writeFC16(unit, offset, [...words], done);
    });
  }

  /** False for what another attempt cannot change: a slave's exception. */
  isWorthRepeating(error: unknown): boolean {
    return error instanceof ModbusFailure && error.kind !== 'exception';
  }

  #transact<Result>(exchange: Exchange, begin: (done: Callback<Result>) => void): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#port.use(exchange, reject);
      begin((error, result) => {
        if (error === null || error === undefined) resolve(result);
        else reject(failureOf(error));
      });
    });
  }
}

function failureOf(error: Refusal): ModbusFailure {
  if (error.modbusCode === undefined) {
    return new ModbusFailure('garbled', `The answer does not fit the request: ${errorMessage(error)}.`, {
      cause: error,
    });
  }
  return new ModbusFailure('exception', `The device answered with ${errorMessage(error).replace(/^Modbus /, '')}.`, {
    exception: error.modbusCode,
    cause: error,
  });
}

/** What modbus-serial takes for a serial port: open, close, isOpen, write, and `data` events. */
class CodecPort extends EventEmitter {
  isOpen = false;
  #exchange: Exchange | undefined;
  #reject: (error: unknown) => void = () => undefined;

  use(exchange: Exchange, reject: (error: unknown) => void): void {
    this.#exchange = exchange;
    this.#reject = reject;
  }

  open(callback: (error: Error | null) => void): void {
    this.isOpen = true;
    callback(null);
  }

  close(callback: (error: Error | null) => void): void {
    this.isOpen = false;
    callback(null);
  }

  write(frame: Buffer): void {
    const reject = this.#reject;
    this.#exchange?.(frame).then((answer) => this.emit('data', answer), reject);
  }
}
