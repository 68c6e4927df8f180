// Who the gateway is and what it keeps: identity, store, twins, router.
//
// Part of the composition root (device.ts).

import { join } from 'node:path';
import type { DataParts, IdentityParts, Stage } from './device-parts.ts';
import { FlashWear } from './flash/index.ts';
import { CertificateStore, DeviceKey, loadOrCreateDeviceKey } from './identity/index.ts';
import { storeThreadSource } from './platform/native.ts';
import { startThread } from './platform/thread.ts';
import { tlsContext } from './platform/tls.ts';
import { Router } from './router/index.ts';
import { StateFile, Store } from './store/index.ts';
import { Notices, TwinCache } from './twin/index.ts';

const localDeviceId = 'local';

/** Who this gateway is, at the hub and towards its own modules. */
export async function openIdentity({ ground, closing }: Stage): Promise<IdentityParts> {
  const { config, disk, entropy, log, clock } = ground;
  const { provisioning } = config;
  const localKey = await loadOrCreateDeviceKey({ disk, entropy, log }, join(config.dataDir, 'local.key'));
  const trustPem =
    config.trustBundleCert === undefined ? undefined : await disk.readFile('device:trust', config.trustBundleCert);
  const certificates = new CertificateStore(
    { disk, clock, log, tlsContext },
    {
      directory: join(config.dataDir, 'certs'),
      authorityName: `weir gateway ${config.hostname}`,
      hostnames: [...new Set([config.hostname, 'localhost', '127.0.0.1'])],
      extraTrustPem: trustPem?.toString('utf8'),
    },
  );
  closing.push(() => certificates.close());
  return {
    deviceId: provisioning.source === 'manual' ? provisioning.deviceId : localDeviceId,
    hubHostname: provisioning.source === 'manual' ? provisioning.hubHostname : config.hostname,
    hubKey: provisioning.source === 'manual' ? new DeviceKey(provisioning.deviceKeyBase64) : undefined,
    trustPem: trustPem?.toString('utf8'),
    localKey,
    certificates,
  };
}

/** What is durable: messages, twins, state; and the router that fills the queues. */
export async function openData(
  { ground, closing }: Stage,
  { deviceId, hubHostname }: IdentityParts,
): Promise<DataParts> {
  const { config, clock, disk, entropy, log, metrics } = ground;
  const store = new Store(
    { startThread: () => startThread(storeThreadSource(), undefined), clock, log: log.child('store'), metrics },
    { path: join(config.dataDir, 'weir.db'), quarantine: join(config.dataDir, 'quarantine'), ...config.store },
  );
  await store.start();
  closing.push(() => store.close());
  const wear = new FlashWear(
    { disk, clock, log: log.child('flash'), metrics, store },
    {
      directory: config.dataDir,
      enduranceBytes: config.store.flashEnduranceBytes,
      lifeYears: config.store.flashLifeYears,
      commitDelayMs: config.store.commitDelayMs,
    },
  );
  await wear.start();
  closing.push(() => wear.close());
  const memory = new StateFile({ documents: store, disk, log }, join(config.dataDir, 'state.json'));
  await memory.start();
  const twins = new TwinCache(store);
  await twins.start();
  const router = new Router(
    { store, clock, entropy, log: log.child('router'), metrics },
    { timeToLiveSecs: 0, deviceId },
  );
  const notices = new Notices({ board: router, clock, log: log.child('twin'), metrics }, { deviceId, hubHostname });
  return { store, memory, twins, notices, router, wear };
}
