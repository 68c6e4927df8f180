// The real serialport package on a real pseudo terminal.

import { join } from 'node:path';
import t from 'tap';
import { withCrc } from '../../src/modules/modbus/framing.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { systemSerial } from '../../src/platform/serial.ts';
import { startPlant } from '../support/plant/index.ts';

const settings = { baudRate: 19_200, dataBits: 8, parity: 'even', stopBits: 1 } as const;
/** Read one holding register of unit 1, at address 10; the answer has the value 0. */
const request = withCrc(Buffer.from([1, 3, 0, 10, 0, 1]));
const answer = withCrc(Buffer.from([1, 3, 2, 0, 0])).toString('hex');

t.test('bytes go out and come in, and the end is told once', async (t) => {
  const plant = await startPlant({ clock: systemClock(), tcpPort: 0, ptyDir: t.testdir() });
  t.teardown(() => plant.close());
  let received = '';
  let ends = 0;
  const complete = deferred();
  const line = await systemSerial().open(
    { ...settings, path: plant.rtu!.path },
    {
      onData: (chunk) => {
        received += Buffer.from(chunk).toString('hex');
        if (received.length >= answer.length) complete.resolve();
      },
      onClose: () => {
        ends += 1;
      },
    },
  );
  line.write(request);
  await complete.promise;
  t.equal(received, answer);
  await line.close();
  await line.close();
  t.equal(ends, 1);
});

t.test('a port that is not there is refused with its path and what to look at', async (t) => {
  const path = join(t.testdir(), 'nothing');
  const opening = systemSerial().open({ ...settings, path }, { onData: () => undefined, onClose: () => undefined });
  await t.rejects(opening, { code: 'PLATFORM_SERIAL_FAILED', retryable: true, message: /nothing.*plugged in/ });
});

// Whether the end comes while the line waits or while it reads is a matter of moments, and the two are told
// differently by the kernel: an error, and an end of file.
t.test('a port that disappears ends by itself, whenever it happens', async (t) => {
  const plant = await startPlant({ clock: systemClock(), tcpPort: 0, ptyDir: t.testdir() });
  t.teardown(() => plant.close());
  const rtu = plant.rtu!;
  for (let round = 0; round < 12; round++) {
    const gone = deferred();
    const line = await systemSerial().open(
      { ...settings, path: rtu.path },
      { onData: () => undefined, onClose: () => gone.resolve() },
    );
    if (round % 2 === 0) line.write(request);
    await rtu.vanish();
    await gone.promise;
    line.write(request);
    await line.close();
    await rtu.comeBack();
  }
  t.pass('writing to it and closing it are harmless');
});

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
