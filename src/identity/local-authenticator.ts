// Who may connect to this gateway's broker: the modules of its own device, `$edgeAgent` and `$edgeHub` included, and
// the devices behind it (leaf-authenticator.ts).
//
// A client is admitted when its user name is IoT Hub's, names the hub and this device, its client id is the
// identity, the module is known, and its password is a SAS token by the module's key (or the device's).
// Everything is decided here and now: no cloud is asked, so a module connects just as well offline.
//
// A module makes its token by the clock of this machine, which may be years off where this process knows better. A
// token is therefore over only when it is so by both: a wrong clock must not lock out the modules that share it.

import { identityKey } from '../model/address.ts';
import type { Clock } from '../platform/clock.ts';
import { parseUsername } from '../protocol/iothub/username.ts';
import type { DeviceKey } from './device-key.ts';
import type { LeafAuthenticator } from './leaf-authenticator.ts';
import type { ConnectClaim, ConnectVerdict, ModuleDirectory } from './ports.ts';
import { verifyToken } from './sas-token.ts';

export interface ModuleAuthenticatorOptions {
  readonly deviceId: string;
  /** The hub's host name, and every other name a token may be made for (the gateway's own). */
  readonly hostnames: readonly string[];
}

export class ModuleAuthenticator {
  readonly #deviceKey: DeviceKey;
  readonly #modules: ModuleDirectory;
  readonly #clock: Clock;
  readonly #leafs: Pick<LeafAuthenticator, 'authenticate'> | undefined;
  readonly #options: ModuleAuthenticatorOptions;

  constructor(
    ports: {
      readonly deviceKey: DeviceKey;
      readonly modules: ModuleDirectory;
      readonly clock: Clock;
      /** Decides on every other device; absent without a hub. */
      readonly leafs?: Pick<LeafAuthenticator, 'authenticate'> | undefined;
    },
    options: ModuleAuthenticatorOptions,
  ) {
    this.#deviceKey = ports.deviceKey;
    this.#modules = ports.modules;
    this.#clock = ports.clock;
    this.#leafs = ports.leafs;
    this.#options = options;
  }

  async authenticate(claim: ConnectClaim): Promise<ConnectVerdict> {
    if (claim.username === undefined) return refused('bad-credentials', 'no user name');
    const parsed = parseUsername(claim.username, claim.clientId);
    if (!parsed.ok) return refused('bad-credentials', `user name: ${parsed.reason}`);
    const { identity, hubHostname } = parsed;
    const { deviceId, hostnames } = this.#options;
    if (!hostnames.some((hostname) => hostname.toLowerCase() === hubHostname.toLowerCase())) {
      return refused('not-authorized', `the user name is for hub '${hubHostname}', not '${hostnames[0] ?? ''}'`);
    }
    if (identity.deviceId !== deviceId && this.#leafs !== undefined) return this.#leafs.authenticate(identity, claim);
    if (identity.deviceId !== deviceId || identity.moduleId === undefined) {
      return refused('not-authorized', `'${identityKey(identity)}' is no module of device '${deviceId}'`);
    }
    const generationId = this.#modules.generationId(identity.moduleId);
    if (generationId === undefined) return refused('not-authorized', `there is no module '${identity.moduleId}'`);
    if (claim.password === undefined) return refused('not-authorized', 'no token');
    const wallMs = this.#clock.wallMs();
    const nowMs = Math.min(wallMs, this.#clock.machineWallMs());
    const verdict = verifyToken(Buffer.from(claim.password).toString('utf8'), {
      keys: this.#deviceKey.keysFor(identity.moduleId, generationId),
      hostnames,
      identity,
      nowMs,
    });
    if (!verdict.ok) return refused('not-authorized', verdict.detail);
    return {
      admitted: true,
      principal: { name: identityKey(identity), identity },
      expiresAtMs: verdict.expiresAtMs + wallMs - nowMs,
    };
  }
}

function refused(reason: 'bad-credentials' | 'not-authorized', detail: string): ConnectVerdict {
  return { admitted: false, reason, detail };
}
