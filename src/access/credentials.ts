// Who a client is: by the certificate that TLS verified, by user name and password, or nobody in particular.
//
//   attempt ─ certificate name ─► admitted
//           ─ no user name ────► anonymous, where its listener allows it
//           ─ no password file ► admitted under the name it gives (as mosquitto does; said at the start)
//           ─ remembered ──────► admitted at once
//           ─ else ────────────► PBKDF2 on the thread pool ─► admitted, or refused after a delay (failure-delay.ts)
//
// Invariants
//   A password is hashed once, not at each reconnect: what was right is remembered under a keyed hash of name,
//   password and stored hash, so that a storm of reconnects costs microseconds and a changed file forgets by itself.
//   At most accessChecksMax hashes are computed at a time, whatever comes: the thread pool serves the disk, too.
//   An unknown user costs as much time as a wrong password.

import { Buffer } from 'node:buffer';
import { createHmac } from 'node:crypto';
import { accessChecksMax, accessChecksWaitingMax, accessVerifiedMax } from '../limits.ts';
import type { Clock } from '../platform/clock.ts';
import type { Counter, Metrics } from '../platform/metrics.ts';
import { FailureDelay } from './failure-delay.ts';
import { type PasswordHash, passwordIterations, passwordMatches, saltBytes } from './password-hash.ts';
import { type Attempt, anonymousName, type Decision } from './ports.ts';

export interface CredentialRules {
  /** Undefined: no password file. */
  readonly users: ReadonlyMap<string, PasswordHash> | undefined;
  /** Whether a client without a user name may come in through this listener. */
  allowsAnonymous(listener: string): boolean;
  /** Whether the name in a client certificate is the user's name, instead of the one in CONNECT. */
  readonly certificateIsUser: boolean;
}

export interface CredentialPorts {
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Random: keys the memory of what was right. */
  readonly cacheKey: Uint8Array;
}

const hashBytes = 64;
const noPassword = Buffer.alloc(0);

export class Credentials {
  readonly #ports: CredentialPorts;
  readonly #delay: FailureDelay;
  /** Keyed hashes of what was right, the one unused for longest first. */
  readonly #verified = new Set<string>();
  readonly #checking = new Map<string, Promise<boolean>>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #rules: CredentialRules;
  #decoy: PasswordHash;
  readonly #failures: Counter;
  readonly #busy: Counter;
  readonly #hits: Counter;
  readonly #hashed: Counter;

  constructor(ports: CredentialPorts, rules: CredentialRules) {
    this.#ports = ports;
    this.#rules = rules;
    this.#decoy = decoyFor(rules);
    this.#delay = new FailureDelay(ports.clock);
    this.#failures = ports.metrics.counter('weir_access_failures_total');
    this.#busy = ports.metrics.counter('weir_access_busy_total');
    this.#hits = ports.metrics.counter('weir_access_remembered_total');
    this.#hashed = ports.metrics.counter('weir_access_hashes_total');
    ports.metrics.gauge('weir_access_failing_addresses', () => this.#delay.addresses);
  }

  /** From now on these hold. Clients already there are the owner's business. */
  replace(rules: CredentialRules): void {
    this.#rules = rules;
    this.#decoy = decoyFor(rules);
  }

  /** At once where nothing has to be computed. */
  authenticate(attempt: Attempt): Decision | Promise<Decision> {
    const { users, certificateIsUser } = this.#rules;
    const { username, listener } = attempt;
    if (certificateIsUser && attempt.certificateName !== undefined) {
      return attempt.certificateName === '' || attempt.certificateName === anonymousName
        ? refused('not-authorized', 'the client certificate names nobody')
        : admitted(attempt.certificateName, attempt);
    }
    if (username === undefined) {
      if (this.#rules.allowsAnonymous(listener)) return admitted(anonymousName, attempt);
      return this.#refuse(attempt, 'not-authorized', 'no user name, and this listener wants one');
    }
    if (username === anonymousName) return this.#refuse(attempt, 'not-authorized', 'a user name that is reserved');
    if (users === undefined) {
      if (this.#rules.allowsAnonymous(listener)) return admitted(username, attempt);
      return this.#refuse(attempt, 'not-authorized', 'there is no password file to check against');
    }
    return this.#checkPassword(attempt, username, users);
  }

  #checkPassword(
    attempt: Attempt,
    username: string,
    users: ReadonlyMap<string, PasswordHash>,
  ): Decision | Promise<Decision> {
    const stored = users.get(username);
    const key = this.#keyOf({ username, password: attempt.password ?? noPassword, stored });
    if (stored !== undefined && this.#recall(key)) return admitted(username, attempt);
    if (this.#delay.isBusy(attempt.remote()) || this.#waiting.length >= accessChecksWaitingMax) {
      this.#busy.add();
      return refused('unavailable', 'too many passwords wait to be checked');
    }
    return this.#compare(attempt, username, { key, stored });
  }

  async #compare(
    attempt: Attempt,
    username: string,
    { key, stored }: { readonly key: string; readonly stored: PasswordHash | undefined },
  ): Promise<Decision> {
    const matches = await this.#check(key, attempt.password ?? noPassword, stored ?? this.#decoy);
    if (stored === undefined) return this.#refuse(attempt, 'bad-credentials', `user '${username}' is not known`);
    if (!matches) return this.#refuse(attempt, 'bad-credentials', `the password of user '${username}' is wrong`);
    // The file may have changed while the hash was computed.
    if (this.#rules.users?.get(username)?.text !== stored.text)
      return refused('unavailable', 'the password file was changed meanwhile');
    this.#remember(key);
    return admitted(username, attempt);
  }

  async #refuse(attempt: Attempt, reason: 'bad-credentials' | 'not-authorized', detail: string): Promise<Decision> {
    this.#failures.add();
    await this.#delay.failed(attempt.remote());
    return refused(reason, detail);
  }

  /** One computation for all who ask the same at the same time. */
  #check(key: string, password: Uint8Array, expected: PasswordHash): Promise<boolean> {
    const running = this.#checking.get(key);
    if (running !== undefined) return running;
    const check = this.#inTurn(() => passwordMatches(password, expected)).finally(() => this.#checking.delete(key));
    this.#checking.set(key, check);
    return check;
  }

  async #inTurn(compute: () => Promise<boolean>): Promise<boolean> {
    if (this.#running >= accessChecksMax) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running++;
    this.#hashed.add();
    try {
      return await compute();
    } finally {
      // The next in line takes the place over.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }

  #recall(key: string): boolean {
    if (!this.#verified.delete(key)) return false;
    this.#verified.add(key);
    this.#hits.add();
    return true;
  }

  #remember(key: string): void {
    if (this.#verified.size >= accessVerifiedMax) {
      const [eldest] = this.#verified;
      if (eldest !== undefined) this.#verified.delete(eldest);
    }
    this.#verified.add(key);
  }

  #keyOf({
    username,
    password,
    stored,
  }: {
    readonly username: string;
    readonly password: Uint8Array;
    readonly stored: PasswordHash | undefined;
  }): string {
    const hmac = createHmac('sha256', this.#ports.cacheKey);
    // Neither a name nor a hash holds a NUL, so no two triples make the same text.
    hmac.update(`${username}\u0000${stored?.text ?? ''}\u0000`).update(password);
    return hmac.digest('base64');
  }
}

/** What an unknown user's password is compared with: nothing matches it, and it costs what the others cost. */
function decoyFor({ users }: CredentialRules): PasswordHash {
  const [usual] = users?.values() ?? [];
  const hash = Buffer.alloc(hashBytes);
  if (usual !== undefined) return { ...usual, hash, text: '' };
  return { kind: 'pbkdf2-sha512', iterations: passwordIterations, salt: Buffer.alloc(saltBytes), hash, text: '' };
}

function admitted(name: string, { clientId }: Attempt): Decision {
  return { admitted: true, principal: { name, clientId, identity: undefined }, expiresAtMs: undefined };
}

function refused(reason: 'unavailable' | 'bad-credentials' | 'not-authorized', detail: string): Decision {
  return { admitted: false, reason, detail };
}
