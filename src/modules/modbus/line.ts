// A bus in use: one transaction after the other, with turn-around pause and repetitions.
//
// modbus-serial is the codec behind codec.ts; the bytes go through a Wire (TCP or a serial line). Everything that
// has to do with time and failure is here and in the wires: one transaction at a time, a time-out each, `retries`
// repetitions, a pause after each answer. An exception of the slave is an answer: it is never repeated.

import { pause } from '../../model/pause.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Network } from '../../platform/net.ts';
import type { SerialPorts } from '../../platform/serial.ts';
import { ModbusCodec, type ReadRequest, type WriteRequest } from './codec.ts';
import { RtuWire } from './rtu-wire.ts';
import type { Bus } from './settings.ts';
import { TcpWire } from './tcp-wire.ts';
import type { Wire } from './wire.ts';

export interface LinePorts {
  readonly network: Network;
  readonly serial: SerialPorts;
  readonly clock: Clock;
}

export interface Attempts {
  /** Without repetitions: for probing a slave that is probably away. */
  readonly once: boolean;
}

export class Line {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #wire: Wire;
  #codec: Promise<ModbusCodec> | undefined;
  #answeredMs = Number.NEGATIVE_INFINITY;

  constructor(bus: Bus, { network, serial, clock }: LinePorts) {
    this.#bus = bus;
    this.#clock = clock;
    const { wire } = bus;
    this.#wire = wire.type === 'tcp' ? new TcpWire(wire, { network, clock }) : new RtuWire(wire, { serial, clock });
  }

  /** The registers, or the bits as 0 and 1. Throws ModbusFailure. */
  async read(request: ReadRequest, attempts: Attempts = { once: false }): Promise<readonly number[]> {
    return this.#repeat(attempts, async (codec) => codec.read(request, (frame) => this.#exchange(frame)));
  }

  /** Throws ModbusFailure. A repeated write may reach the slave twice; with the same values that does no harm. */
  async write(request: WriteRequest): Promise<void> {
    await this.#repeat({ once: false }, async (codec) => codec.write(request, (frame) => this.#exchange(frame)));
  }

  async close(): Promise<void> {
    await this.#wire.close();
  }

  async #repeat<Answer>({ once }: Attempts, transact: (codec: ModbusCodec) => Promise<Answer>): Promise<Answer> {
    this.#codec ??= ModbusCodec.load();
    const codec = await this.#codec;
    const attemptsMax = once ? 1 : this.#bus.retries + 1;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await transact(codec);
      } catch (error) {
        if (attempt >= attemptsMax || !codec.isWorthRepeating(error)) throw error;
      }
    }
  }

  async #exchange(frame: Uint8Array): Promise<Buffer> {
    const restMs = this.#answeredMs + this.#bus.turnaroundMs - this.#clock.monotonicMs();
    if (restMs > 0) await pause(this.#clock, restMs);
    try {
      return await this.#wire.transact(frame, this.#bus.timeoutMs);
    } finally {
      this.#answeredMs = this.#clock.monotonicMs();
    }
  }
}
