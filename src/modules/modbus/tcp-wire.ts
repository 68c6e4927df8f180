// Modbus TCP: one connection, one transaction at a time, matched by transaction number.
//
// Dials when a transaction needs it, never before. A late answer carries an old number and is dropped, so a
// time-out does not cost the connection; several in a row without any answer do, because that is how a dead
// peer behind a silent network looks. A stream that makes no sense is closed: there is no way back into it.

import { strict as assert } from 'node:assert';
import type { Clock, Timer } from '../../platform/clock.ts';
import type { Connection, Network } from '../../platform/net.ts';
import { ModbusFailure } from './failure.ts';
import { TcpReader, toTcp } from './framing.ts';
import type { TcpBus } from './settings.ts';
import type { Wire } from './wire.ts';

interface Pending {
  readonly transaction: number;
  readonly request: Uint8Array;
  readonly timer: Timer;
  readonly resolve: (frame: Buffer) => void;
  readonly reject: (failure: ModbusFailure) => void;
}

const transactionMax = 0xffff;
const functionMask = 0x7f;
const timeoutsMax = 3;

export class TcpWire implements Wire {
  readonly #bus: TcpBus;
  readonly #network: Network;
  readonly #clock: Clock;
  #connection: Connection | undefined;
  #pending: Pending | undefined;
  #transaction = 0;
  #timeouts = 0;

  constructor(bus: TcpBus, { network, clock }: { readonly network: Network; readonly clock: Clock }) {
    this.#bus = bus;
    this.#network = network;
    this.#clock = clock;
  }

  async transact(request: Uint8Array, timeoutMs: number): Promise<Buffer> {
    assert(this.#pending === undefined, 'one transaction at a time');
    const connection = this.#connection ?? (await this.#dial(timeoutMs));
    this.#transaction = this.#transaction === transactionMax ? 1 : this.#transaction + 1;
    const transaction = this.#transaction;
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(timeoutMs, () => this.#timedOut(timeoutMs));
      this.#pending = { transaction, request, timer, resolve, reject };
      connection.write(toTcp(request, transaction));
    });
  }

  async close(): Promise<void> {
    this.#hangUp();
    this.#fail(new ModbusFailure('unreachable', `The connection to ${this.#where} was closed.`));
  }

  get #where(): string {
    return `${this.#bus.host}:${this.#bus.port}`;
  }

  #dial(timeoutMs: number): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const reader = new TcpReader();
      const refuse = (cause: unknown, reason: string): void => {
        timer.cancel();
        reject(
          new ModbusFailure(
            'unreachable',
            `Cannot connect to ${this.#where}: ${reason}. Is the address right and the device on?`,
            { cause },
          ),
        );
      };
      const connection = this.#network.dial(
        { kind: 'tcp', host: this.#bus.host, port: this.#bus.port },
        {
          onOpen: () => {
            timer.cancel();
            this.#connection = connection;
            this.#timeouts = 0;
            resolve(connection);
          },
          onData: (chunk, length) => {
            // The chunk is borrowed; the reader keeps bytes.
            reader.push(Buffer.from(chunk.subarray(0, length)));
            this.#drain(reader);
          },
          onDrain: () => undefined,
          onClose: (error) => {
            if (this.#connection === connection) {
              this.#connection = undefined;
              this.#fail(new ModbusFailure('unreachable', `The connection to ${this.#where} ended.`, { cause: error }));
            }
            refuse(error, error?.message ?? 'the other side closed at once');
          },
        },
      );
      const timer = this.#clock.setTimer(timeoutMs, () => {
        refuse(undefined, `no answer within ${timeoutMs} ms`);
        connection.destroy();
      });
    });
  }

  #drain(reader: TcpReader): void {
    for (;;) {
      const progress = reader.next();
      if (progress.state === 'more') return;
      if (progress.state === 'garbled') {
        this.#hangUp();
        this.#fail(new ModbusFailure('garbled', `${this.#where} sent what is no Modbus TCP.`));
        return;
      }
      const pending = this.#pending;
      if (pending === undefined || progress.transaction !== pending.transaction) continue;
      const [unit, code = 0] = progress.frame;
      if (unit !== pending.request[0] || (code & functionMask) !== pending.request[1]) continue;
      this.#timeouts = 0;
      this.#settle()?.resolve(progress.frame);
    }
  }

  #timedOut(timeoutMs: number): void {
    this.#timeouts += 1;
    if (this.#timeouts >= timeoutsMax) this.#hangUp();
    this.#fail(new ModbusFailure('timeout', `No answer from ${this.#where} within ${timeoutMs} ms.`));
  }

  #hangUp(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.destroy();
  }

  #fail(failure: ModbusFailure): void {
    this.#settle()?.reject(failure);
  }

  #settle(): Pending | undefined {
    const pending = this.#pending;
    this.#pending = undefined;
    pending?.timer.cancel();
    return pending;
  }
}
