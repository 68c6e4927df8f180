// The link against the hub's own front in a real broker, over loopback: one that takes frames, and one as it was before.

import t, { type Test } from 'tap';
import { Broker } from '../../src/broker/broker.ts';
import { IotHubFront } from '../../src/broker/iothub/index.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { systemEntropy } from '../../src/platform/entropy.ts';
import { createLog } from '../../src/platform/log.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { systemNetwork } from '../../src/platform/net.ts';
import { UpstreamLink } from '../../src/upstream/index.ts';
import type { OutgoingMessage } from '../../src/upstream/ports.ts';
import { FakeDeviceBackend } from '../support/fake-device-backend.ts';
import { numberedMessage, sequenceOf } from '../support/messages.ts';

const identity = { deviceId: 'gateway', moduleId: '$edgeHub' };

async function stage(t: Test, { takesFrames }: { readonly takesFrames: boolean }) {
  const clock = systemClock();
  const log = createLog({ clock, level: 'error', write: () => undefined });
  const metrics = createMetrics();
  const network = systemNetwork();
  const backend = new FakeDeviceBackend();
  backend.gatewaysSpeak = true;
  if (!takesFrames) delete backend.telemetryFrame;
  const broker = new Broker({
    network,
    clock,
    log,
    metrics,
    authenticator: {
      authenticate: () => ({
        admitted: true,
        principal: { name: 'gateway/$edgeHub', identity },
        expiresAtMs: undefined,
      }),
    },
    authoriser: { mayPublish: () => false, maySubscribe: () => false },
    service: new IotHubFront({ backend, clock, log, metrics }),
  });
  await broker.start();
  const { address } = await broker.listen('tcp', { kind: 'tcp', host: '127.0.0.1', port: 0 });
  if (!('port' in address)) throw new TypeError('no port');
  const link = new UpstreamLink(
    { network, clock, log, metrics: createMetrics(), entropy: systemEntropy(), signToken: () => 'token' },
    {
      hubHostname: 'hub.example',
      dialHost: '127.0.0.1',
      dialPort: address.port,
      tls: undefined,
      identity,
      keepAliveSeconds: 60,
      tokenLifeSeconds: 3600,
      backoff: { floorMs: 1, firstCeilingMs: 10, ceilingMsMax: 10 },
    },
  );
  t.teardown(async () => {
    await link.close();
    await broker.close();
  });
  link.start();
  const counted = (name: string): number =>
    metrics
      .snapshot()
      .filter((sample) => sample.name === name)
      .reduce((sum, { value }) => sum + value, 0);
  return { link, backend, counted, frames: () => counted('weir_iothub_frames_accepted') };
}

function ready(link: UpstreamLink): Promise<void> {
  return link.ready(new AbortController().signal);
}

function batch(from: number, to: number): OutgoingMessage[] {
  return Array.from({ length: to - from + 1 }, (_, index) => ({
    message: numberedMessage(from + index),
    hop: { stream: 'epoch.7', sequence: from + index },
  }));
}

/** The hub's word comes right behind the SUBACK: a question and its answer later it is there. */
async function settled(link: UpstreamLink): Promise<void> {
  await ready(link);
  await link.twin(identity);
}

t.test('a hub that takes frames gets them, and every message is what it was', async (t) => {
  const { link, backend, frames } = await stage(t, { takesFrames: true });
  await settled(link);
  t.equal(await link.send(batch(1, 100)), 100);
  t.equal(frames(), 2);
  t.equal(await link.send(batch(101, 101)), 1);
  t.equal(frames(), 2, 'one alone is no frame');
  t.same(
    backend.messages.map(sequenceOf),
    Array.from({ length: 101 }, (_, index) => index + 1),
  );
  const { sender, output, body, properties } = numberedMessage(100);
  t.match(backend.messages[99], { sender, output, body, properties, hop: { stream: 'epoch.7', sequence: 100 } });
});

t.test('a hub that says nothing of frames gets none', async (t) => {
  const { link, backend, frames, counted } = await stage(t, { takesFrames: false });
  await settled(link);
  t.equal(await link.send(batch(1, 100)), 100);
  t.equal(frames(), 0);
  t.equal(counted('weir_iothub_refused'), 0);
  t.equal(backend.messages.length, 100);
});

t.test('a message that is refused holds up no message before it, although they came in one frame', async (t) => {
  const { link, backend, counted } = await stage(t, { takesFrames: true });
  await settled(link);
  const all = batch(1, 20);
  const foreign = {
    ...all[9],
    message: { ...numberedMessage(10), sender: { deviceId: 'stranger' } },
  } as OutgoingMessage;
  all[9] = foreign;
  await t.rejects(link.send(all), { code: 'UPSTREAM_OFFLINE' });
  t.same(backend.messages, [], 'of the frame nothing was taken');
  t.equal(counted('weir_iothub_frames_accepted'), 0);
  await settled(link);
  const accepted = await link.send(all).catch(() => 0);
  t.ok(accepted <= 9, 'what the hub acknowledged before it hung up');
  t.same(backend.messages.map(sequenceOf), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  await settled(link);
  t.equal(await link.send(batch(11, 30)), 20, 'without it all goes on');
});
