// The devices behind this gateway, as the rest of the gateway sees them: who they are, whether they may connect, and who
// may no longer.
//
//   hub ── version, pages ──► ScopeSync ──► ScopeCache ──► LeafAuthenticator ◄── CONNECT
//                                               └──► onRevoked, onLeft, onJoined
//
// Their keys stay inside: what comes from the hub is read here, kept sealed here and compared here.

import type { Identity } from '../model/address.ts';
import type { Clock } from '../platform/clock.ts';
import type { Disk } from '../platform/disk.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Log } from '../platform/log.ts';
import type { DeviceKey } from './device-key.ts';
import { LeafAuthenticator } from './leaf-authenticator.ts';
import type { ConnectClaim, ConnectVerdict, ScopeSource } from './ports.ts';
import { ScopeCache } from './scope-cache.ts';
import { ScopeSync } from './scope-sync.ts';

export interface LeafDevicesPorts {
  readonly source: ScopeSource;
  readonly disk: Disk;
  readonly entropy: Entropy;
  readonly clock: Clock;
  readonly log: Log;
  /** Of this machine alone. */
  readonly sealKey: DeviceKey;
}

export interface LeafDevicesOptions {
  /** Where the sealed copy lies. */
  readonly path: string;
  readonly hubHostname: string;
  /** The gateway's own device, and the name under which devices reach it. */
  readonly deviceId: string;
  readonly gatewayHostname: string;
  /** Whether TLS was told authorities that issue to devices. */
  readonly trustsAuthorities: boolean;
}

export class LeafDevices {
  readonly #cache: ScopeCache;
  readonly #sync: ScopeSync;
  readonly #authenticator: LeafAuthenticator;

  constructor(ports: LeafDevicesPorts, options: LeafDevicesOptions) {
    const { clock, log, source } = ports;
    const { hubHostname, gatewayHostname, deviceId, trustsAuthorities } = options;
    this.#cache = new ScopeCache(ports, options);
    this.#sync = new ScopeSync({ cache: this.#cache, source, clock, log });
    this.#authenticator = new LeafAuthenticator(
      { scope: this.#cache, settled: () => this.#sync.settled(), clock },
      { deviceId, hostnames: [hubHostname, gatewayHostname], trustsAuthorities },
    );
  }

  /** Recalls those of the last run. */
  start(): Promise<void> {
    return this.#cache.start();
  }

  close(): Promise<void> {
    return this.#sync.close();
  }

  /** The hub's version of the scope is this one now. */
  changed(version: string): void {
    this.#sync.changed(version);
  }

  /** Asks the hub again, whatever it told. */
  refresh(): Promise<void> {
    return this.#sync.refresh();
  }

  authenticate(identity: Identity, claim: ConnectClaim): Promise<ConnectVerdict> {
    return this.#authenticator.authenticate(identity, claim);
  }

  has(identity: Identity): boolean {
    return this.#cache.find(identity) !== undefined;
  }

  /** Called for each identity whose standing connection must end. */
  onRevoked(listener: (identity: Identity) => void): void {
    this.#cache.onRevoked(listener);
  }

  /** Called for each identity that is behind this gateway no more. */
  onLeft(listener: (identity: Identity) => void): void {
    this.#cache.onLeft(listener);
  }

  /** Called for each identity that is new behind this gateway; what the last run knew is not new. */
  onJoined(listener: (identity: Identity) => void): void {
    this.#cache.onJoined(listener);
  }
}
