// MQTT on topics of one's own choice: clients without an identity, the policy that says who may what, and the bridges
// to other brokers.
//
// Part of the composition root (device.ts).

import { GatewayAccess } from './access/index.ts';
import { Bridges } from './bridge/index.ts';
import type { Authenticator, Broker } from './broker/index.ts';
import type { Config } from './config/index.ts';
import type { Ground } from './device-ground.ts';
import type { DataParts, HubParts, IdentityParts, MqttParts, Stage } from './device-parts.ts';
import { parseIdentityKey } from './model/address.ts';
import { errorMessage, WeirError } from './model/errors.ts';
import type { TlsContext } from './platform/net.ts';
import { pemFingerprints, tlsContext } from './platform/tls.ts';
import { upstreamQueue } from './router/index.ts';

const bridgeKeepAliveSeconds = 30;

type RemoteBrokerConfig = Config['bridges'][number];

/** Opened before the broker, which both of them serve: `broker` answers it once it is there. */
export async function openMqtt(
  stage: Stage,
  parts: IdentityParts & DataParts & HubParts,
  broker: () => Broker,
): Promise<MqttParts> {
  const access = await openAccess(stage, parts);
  const bridges = await openBridges(stage, parts, broker);
  return { access, bridges };
}

async function openAccess(
  { ground }: Stage,
  { deviceId, hubHostname, hub }: IdentityParts & HubParts,
): Promise<GatewayAccess> {
  const { config, clock, disk, entropy, log, metrics } = ground;
  const { passwordFile, clientCa, authorizations, sysIntervalMs } = config.broker;
  const roots = clientCa === undefined ? undefined : await readPem(ground, clientCa);
  return GatewayAccess.load(
    { clock, disk, entropy, log: log.child('access'), metrics },
    {
      passwordFile,
      policyFile: authorizations,
      certificateRoots: roots === undefined ? new Set() : checked(clientCa ?? '', () => pemFingerprints(roots)),
      hostnames: [hubHostname, config.hostname],
      thisDeviceId: deviceId,
      isSysReadable: sysIntervalMs > 0,
      isIdentity: (clientId) => {
        const identity = parseIdentityKey(clientId);
        if (identity === undefined) return false;
        return identity.deviceId === deviceId || hub?.leafs.has({ deviceId: identity.deviceId }) === true;
      },
    },
  );
}

async function openBridges(
  { ground }: Stage,
  { deviceId, memory, router }: IdentityParts & DataParts,
  broker: () => Broker,
): Promise<Bridges> {
  const { config, network, clock, entropy, log, metrics } = ground;
  const remote = config.upstream.mqtt === undefined ? config.bridges : [config.upstream.mqtt, ...config.bridges];
  const bridges = new Bridges(
    {
      network,
      clock,
      entropy,
      log: log.child('bridge'),
      metrics,
      documents: memory,
      queue: router,
      local: { deliver: (message, origin) => broker().deliver(message, origin) },
    },
    {
      deviceId,
      bridges: await Promise.all(
        remote.map(async (one) => ({
          broker: {
            ...one,
            tls: one.isTls ? await brokerTls(ground, one) : undefined,
            clientId: one.clientId ?? `weir-${deviceId}-${one.name.replace('$', '')}`,
            keepAliveSeconds: bridgeKeepAliveSeconds,
          },
          rules: one.topics,
          telemetryTopic: one.telemetryTopic,
          timeToLiveMs: one.timeToLiveMs,
        })),
      ),
    },
  );
  for (const bridge of bridges.all) {
    router.attach(bridge.queue, bridge.topicEndpoint());
    const telemetry = bridge.telemetryEndpoint();
    if (telemetry !== undefined) router.attach(upstreamQueue, telemetry, config.upstream);
  }
  return bridges;
}

/** Identities prove themselves as ever; everybody else is a matter of the policy. */
export function admitting(access: GatewayAccess, identities: Authenticator): Authenticator {
  return {
    authenticate: (attempt) =>
      access.isUser(attempt) ? access.authenticate(attempt) : identities.authenticate(access.withoutUsers(attempt)),
  };
}

/** Whoever may connect no more is disconnected as soon as the policy says so. */
export function followPolicy({ access, broker }: { readonly access: GatewayAccess; readonly broker: Broker }): void {
  access.onChanged(() =>
    broker.review((principal) => access.authoriser.mayConnect(principal), 'the policy lets it connect no more'),
  );
}

/** Password file and policy anew; who lost its password is disconnected. */
export async function reloadAccess({ access, broker }: MqttParts & { readonly broker: Broker }): Promise<void> {
  const changed = await access.reload();
  const mayStay = ({ name, identity }: { readonly name: string; readonly identity: unknown }): boolean =>
    identity !== undefined || !changed.has(name);
  broker.review(mayStay, 'the user is gone or has a new password');
}

/** Everybody a TLS listener may ask for a certificate of: devices behind the gateway, and users. */
export async function clientAuthorities(ground: Ground, trustPem: string | undefined): Promise<string | undefined> {
  const { clientCa } = ground.config.broker;
  if (clientCa === undefined) return trustPem;
  return [trustPem, await readPem(ground, clientCa)].filter((pem) => pem !== undefined).join('\n');
}

async function brokerTls(ground: Ground, broker: RemoteBrokerConfig): Promise<TlsContext> {
  const { ca, certificate, privateKey, name } = broker;
  const read = (path: string | undefined): Promise<string | undefined> =>
    path === undefined ? Promise.resolve(undefined) : readPem(ground, path);
  const [authoritiesPem, certificatePem, privateKeyPem] = await Promise.all([ca, certificate, privateKey].map(read));
  return checked(`of bridge ${name}`, () =>
    tlsContext({
      ...(authoritiesPem === undefined ? {} : { authoritiesPem }),
      ...(certificatePem === undefined ? {} : { certificatePem }),
      ...(privateKeyPem === undefined ? {} : { privateKeyPem }),
    }),
  );
}

async function readPem({ disk }: Ground, path: string): Promise<string> {
  try {
    return (await disk.readFile('device:pem', path)).toString('utf8');
  } catch (cause) {
    throw pemUnusable(path, cause);
  }
}

function checked<T>(what: string, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw pemUnusable(what, cause);
  }
}

function pemUnusable(what: string, cause: unknown): WeirError {
  return new WeirError({
    code: 'DEVICE_PEM_UNUSABLE',
    message: `The certificates or keys ${what} cannot be used: ${errorMessage(cause)}. They are PEM files that this user may read, and a certificate and its key belong together.`,
    cause,
  });
}
