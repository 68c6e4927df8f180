// Modbus RTU: one serial port, one transaction at a time, silence between frames.
//
//   … quiet ≥ t3.5 ─► request ─► (line time + time-out) ─► answer found by framing.ts
//                                       └ complete but wrong CRC, then quiet ─► crc failure, without waiting on
//
// Opens the port when a transaction needs it and again after it disappeared. What arrives outside a transaction
// (late answers, noise, other masters) only pushes the beginning of the next one back: that is how the line gets
// into step again.

import { strict as assert } from 'node:assert';
import { errorMessage } from '../../model/errors.ts';
import { pause } from '../../model/pause.ts';
import type { Clock, Timer } from '../../platform/clock.ts';
import type { SerialLine, SerialPorts } from '../../platform/serial.ts';
import { ModbusFailure } from './failure.ts';
import { answerBytes, RtuReader } from './framing.ts';
import { lineTimeMs, type RtuBus } from './settings.ts';
import type { Wire } from './wire.ts';

interface Pending {
  readonly reader: RtuReader;
  readonly timer: Timer;
  quietTimer: Timer | undefined;
  readonly resolve: (frame: Buffer) => void;
  readonly reject: (failure: ModbusFailure) => void;
}

/** After bytes with a wrong CRC, this long without another byte ends the wait. Above the 16 ms of an FTDI's latency timer. */
const quietMs = 40;

export class RtuWire implements Wire {
  readonly #bus: RtuBus;
  readonly #serial: SerialPorts;
  readonly #clock: Clock;
  #line: SerialLine | undefined;
  #pending: Pending | undefined;
  #lastByteMs = 0;

  constructor(bus: RtuBus, { serial, clock }: { readonly serial: SerialPorts; readonly clock: Clock }) {
    this.#bus = bus;
    this.#serial = serial;
    this.#clock = clock;
  }

  async transact(request: Uint8Array, timeoutMs: number): Promise<Buffer> {
    assert(this.#pending === undefined, 'one transaction at a time');
    const line = this.#line ?? (await this.#open());
    await this.#untilQuiet(timeoutMs);
    // The port may have gone while we were waiting for quiet.
    if (this.#line !== line) throw this.#gone(undefined);
    const waitMs = timeoutMs + lineTimeMs(request.length + answerBytes(request), this.#bus.baud);
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(waitMs, () =>
        this.#fail(new ModbusFailure('timeout', `No answer on ${this.#bus.port} within ${timeoutMs} ms.`)),
      );
      this.#pending = { reader: new RtuReader(request), timer, quietTimer: undefined, resolve, reject };
      this.#lastByteMs = this.#clock.monotonicMs() + lineTimeMs(request.length, this.#bus.baud);
      line.write(request);
    });
  }

  async close(): Promise<void> {
    const line = this.#line;
    this.#line = undefined;
    this.#fail(this.#gone(undefined));
    await line?.close();
  }

  async #open(): Promise<SerialLine> {
    const { port: path, baud: baudRate, dataBits, parity, stopBits } = this.#bus;
    const opened: { line: SerialLine | undefined } = { line: undefined };
    try {
      opened.line = await this.#serial.open(
        { path, baudRate, dataBits, parity, stopBits },
        {
          onData: (chunk) => this.#onData(chunk),
          onClose: (error) => {
            if (this.#line !== opened.line) return;
            this.#line = undefined;
            this.#fail(this.#gone(error));
          },
        },
      );
    } catch (cause) {
      throw new ModbusFailure('unreachable', errorMessage(cause), { cause });
    }
    this.#line = opened.line;
    return opened.line;
  }

  /** Waits for t3.5 of silence; on a line that never falls silent, at most `limitMs`. */
  async #untilQuiet(limitMs: number): Promise<void> {
    const deadlineMs = this.#clock.monotonicMs() + limitMs;
    for (;;) {
      const nowMs = this.#clock.monotonicMs();
      const quietForMs = nowMs - this.#lastByteMs;
      if (quietForMs >= this.#bus.silenceMs || nowMs >= deadlineMs) return;
      await pause(this.#clock, Math.ceil(this.#bus.silenceMs - quietForMs));
    }
  }

  #onData(chunk: Uint8Array): void {
    this.#lastByteMs = this.#clock.monotonicMs();
    const pending = this.#pending;
    if (pending === undefined) return;
    pending.quietTimer?.cancel();
    const progress = pending.reader.push(chunk);
    if (progress.state === 'frame') this.#settle()?.resolve(progress.frame);
    else if (progress.state === 'garbled') {
      pending.quietTimer = this.#clock.setTimer(quietMs, () =>
        this.#fail(
          new ModbusFailure(
            'crc',
            `An answer on ${this.#bus.port} came with a wrong CRC. Check wiring, termination and parity.`,
          ),
        ),
      );
    }
  }

  #gone(cause: unknown): ModbusFailure {
    return new ModbusFailure('unreachable', `The serial port ${this.#bus.port} is gone. Is the adapter plugged in?`, {
      cause,
    });
  }

  #fail(failure: ModbusFailure): void {
    this.#settle()?.reject(failure);
  }

  #settle(): Pending | undefined {
    const pending = this.#pending;
    this.#pending = undefined;
    pending?.timer.cancel();
    pending?.quietTimer?.cancel();
    return pending;
  }
}
