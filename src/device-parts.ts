// The parts a gateway is made of, stage by stage: what each stage of its start hands to the next.
//
// Part of the composition root (device.ts). A stage gets what the earlier ones opened, opens its own, and says how to
// close it; stages are closed in the opposite order.

import type { GatewayAccess } from './access/index.ts';
import type { ModuleTraffic } from './admin/index.ts';
import type { Agent, Clients, ModuleRegistry, Routing } from './agent/index.ts';
import type { Bridges } from './bridge/index.ts';
import type { Broker, IotHubFront } from './broker/index.ts';
import type { SystemCalls } from './device-calls.ts';
import type { Ground } from './device-ground.ts';
import type { FlashWear } from './flash/index.ts';
import type { CertificateStore, DeviceKey, LeafDevices } from './identity/index.ts';
import type { HttpAnswerer } from './platform/http-answerer.ts';
import type { Router } from './router/index.ts';
import type { StateFile, Store } from './store/index.ts';
import type { Supervisor } from './supervisor/index.ts';
import type { Notices, TwinCache, TwinSync } from './twin/index.ts';
import type { UpstreamLink } from './upstream/index.ts';
import type { CallerCheck, KnownModule, ManagedGateway } from './workload/index.ts';

/** Built-in modules by name; the command line hands them in, so that the root stays free of them. */
export interface DeviceExtras {
  readonly builtinModules: readonly string[];
}

export interface Stage {
  readonly ground: Ground;
  readonly extras: DeviceExtras;
  readonly startedAtMs: number;
  /** Run last to first. */
  readonly closing: (() => Promise<unknown>)[];
}

export interface IdentityParts {
  readonly deviceId: string;
  readonly hubHostname: string;
  /** Proves this gateway to the hub; undefined without a hub. */
  readonly hubKey: DeviceKey | undefined;
  readonly trustPem: string | undefined;
  /** Never leaves this machine: the keys of local modules come from it. */
  readonly localKey: DeviceKey;
  readonly certificates: CertificateStore;
}

export interface DataParts {
  readonly store: Store;
  readonly memory: StateFile;
  readonly twins: TwinCache;
  readonly notices: Notices;
  readonly router: Router;
  readonly wear: FlashWear;
}

export interface HubParts {
  readonly hub: { readonly link: UpstreamLink; readonly sync: TwinSync; readonly leafs: LeafDevices } | undefined;
}

export interface ModuleParts {
  readonly clients: Clients;
  readonly registry: ModuleRegistry;
  /** Who calls on the sockets of modules. */
  readonly callers: CallerCheck;
  /** What their sockets ask, and what is opened after them. */
  readonly later: { modules: () => readonly KnownModule[]; gateway: ManagedGateway | undefined };
}

export interface MqttParts {
  readonly access: GatewayAccess;
  readonly bridges: Bridges;
}

export interface BrokerParts extends MqttParts {
  readonly broker: Broker;
  readonly front: IotHubFront;
  /** Beside MQTT over WebSocket, on its ports. */
  readonly http: HttpAnswerer;
  /** Whom the hub's calls of `$edgeAgent` go to. */
  readonly systemCalls: SystemCalls;
  readonly traffic: ModuleTraffic;
}

export interface RoutingParts {
  readonly routing: Routing;
}

export interface ControlParts {
  readonly supervisor: Supervisor;
  readonly agent: Agent;
}
