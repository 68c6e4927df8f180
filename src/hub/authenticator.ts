// Who may connect to the hub over MQTT: identities of the registry, with a SAS token or a client certificate.
//
// A module proves itself with its own key or with its device's: a gateway speaks as `$edgeHub` with the device
// key, as Azure's does. The client id must be the identity key, the token must name the identity (or its device)
// at one of the hub's names. Who has a certificate in the registry enters by it alone (client-certificate.ts tells the
// rule). Disabled identities, and modules of a disabled device, are refused.
//
// Refusals tell the log the reason; the client learns no more than the CONNACK code, so nobody can probe for ids.

import { type Identity, identityKey } from '../model/address.ts';
import type { Clock } from '../platform/clock.ts';
import {
  type CertificateRule,
  type CertificateVerdict,
  judgeCertificate,
} from '../protocol/iothub/client-certificate.ts';
import { parseUsername } from '../protocol/iothub/username.ts';
import type { ConnectClaim, HubAdmission, TokenVerifier } from './ports.ts';
import type { IdentityRecord, Registry } from './registry.ts';

export class HubAuthenticator {
  readonly #registry: Registry;
  readonly #verify: TokenVerifier;
  readonly #clock: Clock;
  readonly #hostnames: readonly string[];
  readonly #trustsAuthorities: boolean;

  constructor(
    ports: { readonly registry: Registry; readonly verify: TokenVerifier; readonly clock: Clock },
    /** Every name under which devices know this hub. */
    options: {
      readonly hostnames: readonly string[];
      /** Whether TLS was told authorities that issue to devices: without them it vouches for nobody. */
      readonly trustsAuthorities?: boolean;
    },
  ) {
    this.#registry = ports.registry;
    this.#verify = ports.verify;
    this.#clock = ports.clock;
    this.#hostnames = options.hostnames;
    this.#trustsAuthorities = options.trustsAuthorities ?? false;
  }

  authenticate(claim: ConnectClaim): Promise<HubAdmission> {
    return Promise.resolve(this.#decide(claim));
  }

  #decide(claim: ConnectClaim): HubAdmission {
    const { clientId, username, password } = claim;
    if (username === undefined) return refused('bad-credentials', 'no user name was sent');
    const parsed = parseUsername(username, clientId);
    if (!parsed.ok) return refused('bad-credentials', parsed.reason);
    const { identity } = parsed;
    const chain = this.#chain(identity);
    if (chain === undefined) return refused('not-authorized', `${clientId} is not in the registry`);
    const disabled = chain.find((record) => !record.enabled);
    if (disabled !== undefined) return refused('not-authorized', `${identityKey(disabled.identity)} is disabled`);
    const admitted = (expiresAtMs: number): HubAdmission => ({
      admitted: true,
      principal: { name: identityKey(identity), identity },
      expiresAtMs,
    });
    const [own] = chain;
    if (own !== undefined && own.authentication !== 'sas') {
      const judged = this.#judge(own, claim);
      return judged.ok ? admitted(judged.expiresAtMs) : refused('not-authorized', judged.detail);
    }
    if (password === undefined || password.length === 0) return refused('bad-credentials', 'no SAS token was sent');
    const verdict = this.#verify(Buffer.from(password).toString('utf8'), {
      keys: chain.filter(({ authentication }) => authentication === 'sas').flatMap(keysOf),
      hostnames: this.#hostnames,
      identity,
      nowMs: this.#clock.wallMs(),
    });
    if (!verdict.ok) return refused('not-authorized', verdict.detail);
    return admitted(verdict.expiresAtMs);
  }

  #judge(record: IdentityRecord, { certificate }: ConnectClaim): CertificateVerdict {
    const { identity, authentication, thumbprints } = record;
    if (authentication === 'certificateAuthority' && !this.#trustsAuthorities)
      return { ok: false, detail: 'no authority of devices is known here: start the hub with --device-ca FILE' };
    const known = [thumbprints.primary, thumbprints.secondary].filter((print) => print !== undefined);
    const rule: CertificateRule =
      authentication === 'certificateAuthority' ? { kind: authentication } : { kind: 'selfSigned', thumbprints: known };
    return judgeCertificate(certificate, { rule, identity, nowMs: this.#clock.wallMs() });
  }

  /** The identity's own record and, for a module, its device's: both must be enabled, either's key will do. */
  #chain(identity: Identity): readonly IdentityRecord[] | undefined {
    const own = this.#registry.find(identity);
    if (own === undefined) return undefined;
    if (identity.moduleId === undefined) return [own];
    const device = this.#registry.find({ deviceId: identity.deviceId });
    return device === undefined ? undefined : [own, device];
  }
}

function keysOf({ keys }: IdentityRecord): readonly Buffer[] {
  return [Buffer.from(keys.primaryKey, 'base64'), Buffer.from(keys.secondaryKey, 'base64')];
}

function refused(reason: 'bad-credentials' | 'not-authorized', detail: string): HubAdmission {
  return { admitted: false, reason, detail };
}
