// The devices behind the gateway: known from the last run at once, and as the hub tells; cut off when it says so.
//
// Part of the composition root (device.ts).

import { join } from 'node:path';
import type { BrokerParts, DataParts, HubParts, IdentityParts, ModuleParts, Stage } from './device-parts.ts';
import { LeafDevices } from './identity/index.ts';
import { identityKey } from './model/address.ts';
import { errorMessage } from './model/errors.ts';
import type { UpstreamLink } from './upstream/index.ts';

export async function openLeafDevices(
  { ground, closing }: Stage,
  { localKey, hubHostname, deviceId, trustPem }: IdentityParts,
  link: UpstreamLink,
): Promise<LeafDevices> {
  const { config, clock, disk, entropy, log } = ground;
  const leafs = new LeafDevices(
    { source: link, disk, entropy, clock, log: log.child('scope'), sealKey: localKey },
    {
      path: join(config.dataDir, 'scope.sealed'),
      hubHostname,
      deviceId,
      gatewayHostname: config.hostname,
      trustsAuthorities: trustPem !== undefined,
    },
  );
  await leafs.start();
  closing.push(() => leafs.close());
  link.onScope((version) => leafs.changed(version));
  return leafs;
}

/** Who may connect no more is cut off; of whom is behind this gateway no more nothing is kept; routes are told who came and went. */
export function followLeafDevices(
  { ground }: Stage,
  { broker, clients, hub, notices, twins }: BrokerParts & DataParts & ModuleParts & HubParts,
): void {
  if (hub === undefined) return;
  const { leafs, sync } = hub;
  leafs.onRevoked((owner) => void broker.disconnect(identityKey(owner), 'the hub lets it connect no more'));
  leafs.onJoined((owner) => void notices.created(owner, twins.twin(owner)));
  leafs.onLeft((owner) => {
    clients.forget(owner);
    void notices.deleted(owner, twins.twin(owner));
    sync.unwatch(owner).catch((error: unknown) =>
      ground.log.warn('the twin of a device that left was not removed', {
        identity: identityKey(owner),
        reason: errorMessage(error),
      }),
    );
  });
}
