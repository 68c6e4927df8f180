// The port of a bus: sends one request and waits for its answer, over TCP or a serial line.
//
// Requests and answers are frames in the RTU form (unit, function, data, CRC), whatever the wire makes of them.
// The caller sends one at a time.

export interface Wire {
  /** Throws ModbusFailure: unreachable, timeout, crc, garbled. Opens what is not open. */
  transact(request: Uint8Array, timeoutMs: number): Promise<Buffer>;
  /** A transaction under way fails as unreachable. Idempotent. */
  close(): Promise<void>;
}
