// Serial lines as a parameter, and the one door to the serialport package.
//
// A SerialLine is bytes in and out of one open port; framing and timing belong to whoever speaks on it. The
// package (and its native binding) is loaded by the first open(), so a process without serial lines never pays
// for it. A port that disappears (an unplugged adapter) ends with onClose; opening it again is the owner's
// decision.
//
// The package's own read goes on for ever, without a pause, when the kernel answers "end of file": which is what
// a line says that was hung up, by an adapter that was unplugged. It takes a core and all memory. So reading is
// ours (readOrHangUp), on the package's descriptor and poller: end of file ends the line.

import { read as readFile } from 'node:fs';
import { promisify } from 'node:util';
import { errorCode, errorMessage, WeirError } from '../model/errors.ts';

export interface SerialSettings {
  /** `/dev/serial/by-id/…` rather than `/dev/ttyUSB0`, whose number changes with the order of plugging. */
  readonly path: string;
  readonly baudRate: number;
  readonly dataBits: 7 | 8;
  readonly parity: 'none' | 'even' | 'odd';
  readonly stopBits: 1 | 2;
}

export interface SerialSink {
  /** The bytes belong to the receiver. */
  onData(chunk: Uint8Array): void;
  /** Called once, last: after close(), or when the port failed or disappeared. */
  onClose(error?: Error): void;
}

export interface SerialLine {
  write(bytes: Uint8Array): void;
  close(): Promise<void>;
}

export interface SerialPorts {
  /** Opens for exclusive use. Throws PLATFORM_SERIAL_FAILED. */
  open(settings: SerialSettings, sink: SerialSink): Promise<SerialLine>;
}

export function systemSerial(): SerialPorts {
  return { open: openSerial };
}

async function openSerial(settings: SerialSettings, sink: SerialSink): Promise<SerialLine> {
  const { SerialPort } = await import('serialport');
  const port = new SerialPort({ ...settings, autoOpen: false });
  await new Promise<void>((resolve, reject) => {
    port.open((cause) => (cause === null || cause === undefined ? resolve() : reject(openError(settings.path, cause))));
  });
  readOurselves(port.port as unknown as OpenBinding);
  let failure: Error | undefined;
  let ended = false;
  const end = (): void => {
    if (ended) return;
    ended = true;
    sink.onClose(failure);
  };
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      if (!port.isOpen) resolve();
      else port.close(() => resolve());
    });
  port.on('data', (chunk: Buffer) => {
    if (!ended) sink.onData(chunk);
  });
  // A failing read or write leaves the descriptor useless: close it, so that the owner may open a new one.
  port.on('error', (error: Error) => {
    failure = error;
    void close().then(end);
  });
  port.on('close', (error?: Error | null) => {
    failure ??= error ?? undefined;
    end();
  });
  return {
    write: (bytes) => {
      if (!ended) port.write(Buffer.from(bytes));
    },
    close,
  };
}

/** What the package's Linux binding has beside its declared type. */
interface OpenBinding {
  readonly fd: number | null;
  readonly poller: { once(event: 'readable', listener: (error: Error | null) => void): void };
  read(buffer: Buffer, offset: number, length: number): Promise<ReadOutcome>;
}

interface ReadOutcome {
  readonly bytesRead: number;
  readonly buffer: Buffer;
}

const readDescriptor = promisify(readFile);
const tryAgainCodes: readonly string[] = ['EAGAIN', 'EWOULDBLOCK', 'EINTR'];

function readOurselves(binding: OpenBinding): void {
  binding.read = (buffer, offset, length) => readOrHangUp(binding, { buffer, offset, length });
}

/** Resolves with at least one byte. Rejects with `canceled` after close(), with `disconnect` when the line is gone. */
async function readOrHangUp(
  binding: OpenBinding,
  { buffer, offset, length }: { readonly buffer: Buffer; readonly offset: number; readonly length: number },
): Promise<ReadOutcome> {
  for (;;) {
    const { fd } = binding;
    if (fd === null) throw Object.assign(hungUpError('The serial port was closed.'), { canceled: true });
    try {
      const { bytesRead } = await readDescriptor(fd, buffer, offset, length, null);
      if (bytesRead > 0) return { bytesRead, buffer };
    } catch (error) {
      if (binding.fd === null) continue;
      if (!tryAgainCodes.includes(errorCode(error))) throw Object.assign(error as Error, { disconnect: true });
      await new Promise<void>((resolve, reject) => {
        binding.poller.once('readable', (cause) => (cause ? reject(cause) : resolve()));
      });
      continue;
    }
    throw Object.assign(hungUpError('The serial line was hung up: its adapter is gone.'), { disconnect: true });
  }
}

function hungUpError(message: string): WeirError {
  return new WeirError({ code: 'PLATFORM_SERIAL_GONE', message, retryable: true });
}

function openError(path: string, cause: Error): WeirError {
  return new WeirError({
    code: 'PLATFORM_SERIAL_FAILED',
    message: `Cannot open the serial port ${path}: ${errorMessage(cause)}. Is the adapter plugged in, is the path right, and may this user read it (group dialout)?`,
    fields: { port: path, errno: errorCode(cause) },
    retryable: true,
    cause,
  });
}
