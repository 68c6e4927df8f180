// Clients of the gateway that have no identity at an IoT hub, and what everybody may do on topics of their own choice.
//
//   attempt ─► Credentials (password file, client certificate) ─► may they connect? ─► admitted
//   policy  ─► PolicyAuthoriser: the twin's; without one the file's; without both nobody may anything
//
// A client id that belongs to an identity is refused: taking it would end that identity's session.
// A policy with mistakes changes nothing: the last good one stays in force.

import { accessPolicyFileBytesMax } from '../limits.ts';
import { type JsonValue, parseJson } from '../model/json.ts';
import type { Problem } from '../model/problem.ts';
import type { PeerCertificate } from '../platform/net.ts';
import { isIotHubUsername } from '../protocol/iothub/username.ts';
import { Access, readAccessFile } from './access.ts';
import { DeniedLog } from './denied-log.ts';
import { policyFileInvalid } from './errors.ts';
import { PolicyAuthoriser, type PolicyOptions } from './policy-authoriser.ts';
import { type PolicyStatement, parsePolicy } from './policy-document.ts';
import type { AccessPorts, Attempt, Decision } from './ports.ts';

export interface GatewayAccessOptions extends PolicyOptions {
  readonly passwordFile: string | undefined;
  /** A policy that holds while the twin has none. */
  readonly policyFile: string | undefined;
  /** Roots whose certificates are proof enough, by fingerprint; the common name is the user's. */
  readonly certificateRoots: ReadonlySet<string>;
  /** Whether the client id is some identity's. */
  isIdentity(clientId: string): boolean;
}

/** A client that wants to connect, with what it showed in its TLS handshake. */
export interface UserAttempt extends Omit<Attempt, 'certificateName'> {
  readonly certificate?: PeerCertificate | undefined;
}

export class GatewayAccess {
  readonly authoriser: PolicyAuthoriser;
  readonly #access: Access;
  readonly #ports: AccessPorts;
  readonly #options: GatewayAccessOptions;
  readonly #listeners = new Set<() => void>();
  #own: readonly PolicyStatement[];
  #hubs: readonly PolicyStatement[] | undefined;

  private constructor(
    ports: AccessPorts,
    options: GatewayAccessOptions,
    parts: { readonly access: Access; readonly statements: readonly PolicyStatement[] },
  ) {
    this.#ports = ports;
    this.#options = options;
    this.#access = parts.access;
    this.#own = parts.statements;
    const denied = new DeniedLog(ports.clock, ports.log);
    this.authoriser = new PolicyAuthoriser(options, (what, subject, topic) => denied.denied(what, subject, topic));
    this.authoriser.replace(parts.statements);
  }

  /** Throws AccessError with all mistakes of the first file that has some. */
  static async load(ports: AccessPorts, options: GatewayAccessOptions): Promise<GatewayAccess> {
    const access = await Access.load(ports, {
      passwordFile: options.passwordFile,
      aclFile: undefined,
      allowsAnonymous: () => false,
      certificateIsUser: options.certificateRoots.size > 0,
    });
    return new GatewayAccess(ports, options, { access, statements: await readPolicyFile(ports, options.policyFile) });
  }

  /** True when somebody without an identity can come in at all. */
  get takesUsers(): boolean {
    return this.#options.passwordFile !== undefined || this.#options.certificateRoots.size > 0;
  }

  /** Whether the client comes without an identity: everybody else is for who knows identities. */
  isUser({ username, certificate }: UserAttempt): boolean {
    if (!this.takesUsers || (username !== undefined && isIotHubUsername(username))) return false;
    return username !== undefined || this.#isOfUsers(certificate);
  }

  /**
   * The attempt as it is for who knows identities: a certificate of users proves no identity.
   */
  withoutUsers<A extends UserAttempt>(attempt: A): A {
    const { certificate } = attempt;
    if (certificate === undefined || !this.#isOfUsers(certificate)) return attempt;
    return { ...attempt, certificate: { ...certificate, authorised: false, problem: 'NOT_FOR_IDENTITIES' } };
  }

  async authenticate({ certificate, ...given }: UserAttempt): Promise<Decision> {
    const certificateName = this.#isOfUsers(certificate) ? certificate?.commonName : undefined;
    const attempt = { ...given, certificateName };
    if (this.#options.isIdentity(attempt.clientId)) {
      const detail = `the client id '${attempt.clientId}' belongs to an identity; choose another`;
      return { admitted: false, reason: 'not-authorized', detail };
    }
    const decision = await this.#access.credentials.authenticate(attempt);
    if (!decision.admitted || this.authoriser.mayConnect(decision.principal)) return decision;
    const detail = `no rule of the policy allows '${decision.principal.name}' to connect (mqtt:connect)`;
    return { admitted: false, reason: 'not-authorized', detail };
  }

  /** Called after each change of who may what. */
  onChanged(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** The policy of the twin, which stands at `path`; undefined: it has none. Answers what is wrong: then nothing changes. */
  setPolicy(document: JsonValue | undefined, path: string): readonly Problem[] {
    const { statements, problems, warnings } = parsePolicy(document ?? [], path);
    if (problems.length > 0) return problems;
    const { log } = this.#ports;
    for (const warning of warnings) log.warn('a part of the policy has no effect', { ...warning });
    this.#hubs = document === undefined ? undefined : statements;
    this.#putInForce();
    return [];
  }

  /** Reads both files anew. The users whose credentials are gone or changed; a file with mistakes leaves what was. */
  async reload(): Promise<ReadonlySet<string>> {
    const { log } = this.#ports;
    const changed = (await this.#access.reload()) ?? new Set();
    try {
      this.#own = await readPolicyFile(this.#ports, this.#options.policyFile);
      this.#putInForce();
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      for (const reason of text.split('\n')) log.error('the old policy stays', { reason });
    }
    return changed;
  }

  #isOfUsers(certificate: UserAttempt['certificate']): boolean {
    const { authorised = false, rootFingerprint } = certificate ?? {};
    return authorised && rootFingerprint !== undefined && this.#options.certificateRoots.has(rootFingerprint);
  }

  #putInForce(): void {
    const statements = this.#hubs ?? this.#own;
    this.authoriser.replace(statements);
    this.#ports.log.info('authorisation policy in force', {
      statements: statements.length,
      from: this.#hubs === undefined ? this.#options.policyFile : 'twin',
    });
    for (const listener of this.#listeners) listener();
  }
}

async function readPolicyFile({ disk }: AccessPorts, path: string | undefined): Promise<readonly PolicyStatement[]> {
  if (path === undefined) return [];
  const parsed = parseJson(await readAccessFile(disk, path, accessPolicyFileBytesMax));
  if (!parsed.ok) throw policyFileInvalid(path, [{ path: '$', message: `this is not JSON: ${parsed.reason}` }]);
  const { statements, problems } = parsePolicy(parsed.value, '$');
  if (problems.length > 0) throw policyFileInvalid(path, problems);
  return statements;
}
