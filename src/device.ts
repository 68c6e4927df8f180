// The gateway, put together: reads like the diagram in ARCHITECTURE.md, from the field to the cloud and back.
//
// Owns no logic: the stages construct the parts and plug them into each other's ports (device-data.ts, device-hub.ts,
// device-broker.ts with device-mqtt.ts and device-calls.ts, device-leaf.ts, device-control.ts); here they are started
// and ended in order.
// Everything that can wait for the first connection (certificates, the hub, modules' sockets) starts after the
// broker listens, so that a gateway serves its modules within moments of power-up.
//
// Order of the end: no new work (link, agent), drains, broker, store. Modules keep running (guarantee G6).

import { listenTls, openBroker } from './device-broker.ts';
import { openControl, openRouting } from './device-control.ts';
import { openData, openIdentity } from './device-data.ts';
import { type DeviceOptions, type Ground, openGround } from './device-ground.ts';
import { openHub } from './device-hub.ts';
import { followLeafDevices } from './device-leaf.ts';
import { reportToInit } from './device-liveness.ts';
import { openManagement, openModules } from './device-modules.ts';
import { reloadAccess } from './device-mqtt.ts';
import { openOperators } from './device-operators.ts';
import type {
  BrokerParts,
  ControlParts,
  DataParts,
  DeviceExtras,
  HubParts,
  IdentityParts,
  Stage,
} from './device-parts.ts';
import { upstreamQueue } from './router/index.ts';

export type { DeviceExtras } from './device-parts.ts';

export interface RunningDevice {
  /** Resolves when clients may connect; rejects when the gateway cannot start. */
  readonly ready: Promise<void>;
  /** Reads the password file and the policy file anew. Never rejects. */
  reload(): Promise<void>;
  /** Ends the runtime; modules keep running. Idempotent. */
  close(): Promise<void>;
}

/** Starts the gateway. Returns at once; `ready` tells when it serves. */
export function startDevice(options: DeviceOptions, extras: DeviceExtras): RunningDevice {
  const starting = openGround(options).then((ground) => new Device(ground, extras));
  const ready = starting.then((device) => device.start());
  return {
    ready,
    reload: async () => {
      const device = await starting.catch(() => undefined);
      await ready.catch(() => undefined);
      await device?.reload();
    },
    close: async () => {
      const device = await starting.catch(() => undefined);
      await ready.catch(() => undefined);
      await device?.close();
    },
  };
}

/** The stages, in the order of the flow: store, twins, hub, router, modules, broker, operators. */
class Device {
  readonly #stage: Stage;
  #broker: BrokerParts | undefined;

  constructor(ground: Ground, extras: DeviceExtras) {
    this.#stage = { ground, extras, startedAtMs: ground.clock.wallMs(), closing: [() => ground.wall.close()] };
  }

  async start(): Promise<void> {
    const { config, log } = this.#stage.ground;
    const identity = await openIdentity(this.#stage);
    const data = await openData(this.#stage, identity);
    const hub = await openHub(this.#stage, { ...identity, ...data });
    const modules = await openModules(this.#stage, { ...identity, ...data, ...hub });
    const broker = await openBroker(this.#stage, { ...identity, ...data, ...hub, ...modules });
    this.#broker = broker;
    followLeafDevices(this.#stage, { ...data, ...hub, ...modules, ...broker });
    const routing = await openRouting(this.#stage, { ...identity, ...data, ...modules, ...broker });
    const control = await openControl(this.#stage, { ...identity, ...data, ...modules, ...broker });
    await openManagement(this.#stage, { ...identity, ...data, ...modules, ...control });
    await openOperators(this.#stage, { ...identity, ...data, ...hub, ...broker, ...routing, ...control });
    await startFlow(this.#stage, { ...identity, ...data, ...hub, ...broker, ...control });
    log.info('weir is ready', { device: identity.deviceId, runDir: config.runDir });
    reportToInit(this.#stage, { ...data, ...hub, ...control });
  }

  async reload(): Promise<void> {
    const { service, clock } = this.#stage.ground;
    if (this.#broker === undefined) return;
    service?.reloading(clock.monotonicMs());
    await reloadAccess(this.#broker);
    service?.ready('serving; users and policy were read anew');
  }

  async close(): Promise<void> {
    this.#stage.ground.service?.stopping();
    for (const close of this.#stage.closing.splice(0).reverse()) await close();
  }
}

/** From here on things move: queues drain, the hub is dialled, modules start. */
async function startFlow(
  { ground, closing }: Stage,
  parts: IdentityParts & DataParts & HubParts & BrokerParts & ControlParts,
): Promise<void> {
  const { router, hub, broker, http, bridges, agent, certificates, trustPem } = parts;
  // An MQTT broker that was named for telemetry has it, and the hub the rest.
  if (hub !== undefined && !router.isAttached(upstreamQueue))
    router.attach(upstreamQueue, hub.link, ground.config.upstream);
  router.start();
  closing.push(() => router.close());
  hub?.link.start();
  await bridges.start();
  closing.push(() => bridges.close());
  await certificates.start();
  await listenTls(ground, { broker, http, certificates, trustPem }, 'tls');
  await listenTls(ground, { broker, http, certificates, trustPem }, 'wss');
  await agent.start();
}
