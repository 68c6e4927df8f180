// Who of the devices behind this gateway may connect to it, and their modules: those of the scope, with a SAS token or
// a client certificate.
//
// Everything is decided here by what the hub last told (scope-cache.ts): a device connects just as well while the hub
// is away. A token is checked as at the hub: both keys, the names of hub and gateway, by the time that is known here. A
// module may use its own key or its device's. Who has a certificate in the registry enters by it alone.
//
// Refusals tell the log the reason and the mend; the client learns no more than the CONNACK code.

import { type Identity, identityKey } from '../model/address.ts';
import type { Clock } from '../platform/clock.ts';
import { judgeCertificate } from '../protocol/iothub/client-certificate.ts';
import type { ConnectClaim, ConnectVerdict } from './ports.ts';
import { verifyToken } from './sas-token.ts';
import type { ScopeCache, ScopeEntry } from './scope-cache.ts';

export interface LeafAuthenticatorPorts {
  readonly scope: Pick<ScopeCache, 'find' | 'toldMs'>;
  /** Resolves when what the hub is telling just now is known, or soon. */
  readonly settled: () => Promise<void>;
  readonly clock: Clock;
}

export interface LeafAuthenticatorOptions {
  /** The gateway's own device. */
  readonly deviceId: string;
  /** The hub's host name, and every other name a token may be made for (the gateway's own). */
  readonly hostnames: readonly string[];
  /** Whether TLS was told authorities that issue to devices: without them it vouches for nobody. */
  readonly trustsAuthorities: boolean;
}

export class LeafAuthenticator {
  readonly #ports: LeafAuthenticatorPorts;
  readonly #options: LeafAuthenticatorOptions;

  constructor(ports: LeafAuthenticatorPorts, options: LeafAuthenticatorOptions) {
    this.#ports = ports;
    this.#options = options;
  }

  async authenticate(identity: Identity, claim: ConnectClaim): Promise<ConnectVerdict> {
    const { scope, settled } = this.#ports;
    if (scope.find(identity) === undefined) await settled();
    const entry = scope.find(identity);
    if (entry === undefined) return refused(this.#strangerText(identity));
    const disabled = [entry.own, entry.device].find((member) => !member.enabled);
    if (disabled !== undefined)
      return refused(
        `'${identityKey(disabled.identity)}' is disabled at the hub (weir hub device update ${identity.deviceId} --status enabled)`,
      );
    return entry.own.proof.kind === 'sas' ? this.#byToken(entry, claim) : this.#byCertificate(entry, claim);
  }

  #byToken({ own, device }: ScopeEntry, { password }: ConnectClaim): ConnectVerdict {
    const { identity } = own;
    if (password === undefined || password.length === 0) return refused(`'${identityKey(identity)}' sent no token`);
    const proofs = own === device ? [own.proof] : [own.proof, device.proof];
    const verdict = verifyToken(Buffer.from(password).toString('utf8'), {
      keys: proofs.flatMap((proof) => (proof.kind === 'sas' ? proof.keys : [])),
      hostnames: this.#options.hostnames,
      identity,
      nowMs: this.#ports.clock.wallMs(),
    });
    return verdict.ok ? admitted(identity, verdict.expiresAtMs) : refused(verdict.detail);
  }

  #byCertificate({ own }: ScopeEntry, { certificate }: ConnectClaim): ConnectVerdict {
    const { clock } = this.#ports;
    const { identity, proof } = own;
    if (proof.kind === 'sas') return refused('no certificate is known');
    if (proof.kind === 'certificateAuthority' && !this.#options.trustsAuthorities)
      return refused('no authority of devices is known here: put its certificate into the file of trust_bundle_cert');
    const verdict = judgeCertificate(certificate, {
      rule: proof,
      identity,
      ...(clock.wallTrusted() ? { nowMs: clock.wallMs() } : {}),
    });
    return verdict.ok ? admitted(identity, verdict.expiresAtMs) : refused(verdict.detail);
  }

  #strangerText(identity: Identity): string {
    const { scope } = this.#ports;
    const told = scope.toldMs === undefined ? ', and the hub has told nothing since the start' : '';
    if (identity.moduleId !== undefined && scope.find({ deviceId: identity.deviceId }) !== undefined)
      return `device '${identity.deviceId}' has no module '${identity.moduleId}' at the hub${told}`;
    const { deviceId } = this.#options;
    return `'${identity.deviceId}' is not behind this gateway (weir hub device set-parent ${identity.deviceId} ${deviceId})${told}`;
  }
}

function admitted(identity: Identity, expiresAtMs: number): ConnectVerdict {
  return { admitted: true, principal: { name: identityKey(identity), identity }, expiresAtMs };
}

function refused(detail: string): ConnectVerdict {
  return { admitted: false, reason: 'not-authorized', detail };
}
