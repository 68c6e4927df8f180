// The gateway's way to the hub: the link, the twins that are kept in step over it, and the devices behind this gateway
// that the hub tells of.
//
// Part of the composition root (device.ts).

import { openLeafDevices } from './device-leaf.ts';
import type { DataParts, HubParts, IdentityParts, Stage } from './device-parts.ts';
import { edgeAgentId, edgeHubId } from './model/address.ts';
import { tlsContext } from './platform/tls.ts';
import { TwinSync } from './twin/index.ts';
import { UpstreamLink } from './upstream/index.ts';

const twinRetryMs = 10_000;
const keepAliveSeconds = 60;
const tokenLifeSeconds = 3600;
const backoff = { floorMs: 200, firstCeilingMs: 1000, ceilingMsMax: 60_000 };

/** The way to the hub, when there is one. */
export async function openHub(stage: Stage, parts: IdentityParts & DataParts): Promise<HubParts> {
  const { ground, closing } = stage;
  const { twins, hubKey, trustPem, deviceId } = parts;
  const { config, clock, entropy, log, metrics, network } = ground;
  const { provisioning } = config;
  if (provisioning.source === 'none' || hubKey === undefined) return { hub: undefined };
  const link = new UpstreamLink(
    {
      network,
      clock,
      entropy,
      metrics,
      log: log.child('upstream'),
      signToken: (resource, expiry) => hubKey.token(resource, expiry),
    },
    {
      hubHostname: provisioning.hubHostname,
      dialHost: provisioning.gatewayHostname ?? provisioning.hubHostname,
      dialPort: provisioning.hubPort,
      tls: tlsContext(trustPem === undefined ? {} : { authoritiesPem: trustPem }),
      identity: { deviceId, moduleId: edgeHubId },
      keepAliveSeconds,
      tokenLifeSeconds,
      backoff,
    },
  );
  const sync = new TwinSync({ cache: twins, source: link, clock, log: log.child('twin'), retryMs: twinRetryMs });
  link.onDesired((change) => sync.desired(change));
  link.onState((connected) => {
    if (connected) sync.connected();
  });
  for (const moduleId of [edgeAgentId, edgeHubId]) sync.watch({ deviceId, moduleId });
  closing.push(() => sync.close());
  const leafs = await openLeafDevices(stage, parts, link);
  closing.push(() => link.close());
  return { hub: { link, sync, leafs } };
}
