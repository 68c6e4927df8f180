// Serial lines as a parameter, and the one door to the serialport package.
//
// A SerialLine is bytes in and out of one open port; framing and timing belong to whoever speaks on it. The
// package (and its native binding) is loaded by the first open(), so a process without serial lines never pays
// for it. A port that disappears (an unplugged adapter) ends with onClose; opening it again is the owner's
// decision.

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

function openError(path: string, cause: Error): WeirError {
  return new WeirError({
    code: 'PLATFORM_SERIAL_FAILED',
    message: `Cannot open the serial port ${path}: ${errorMessage(cause)}. Is the adapter plugged in, is the path right, and may this user read it (group dialout)?`,
    fields: { port: path, errno: errorCode(cause) },
    retryable: true,
    cause,
  });
}
