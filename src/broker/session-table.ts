// All sessions by client id, and the rule of takeover: one client id, one connection [MQTT-3.1.4-2].
//
// A session is resumed only by the principal that made it: a client id alone opens nobody else's queue. Sessions
// whose client is away are bounded; the one away longest is dropped (`dropOldest`) and its messages are counted.

import type { ClientWire } from './client-wire.ts';
import type { Principal } from './ports.ts';
import { Session, type SessionShare } from './session.ts';

/** What CONNECT asks of its session. 3.x: clean session 1 is `cleanStart` and 0 seconds, 0 is for ever. */
export interface SessionRequest {
  readonly cleanStart: boolean;
  /** 0 ends with the connection, 0xffffffff never. */
  readonly expirySeconds: number;
  readonly wire: ClientWire;
}

export interface OpenedSession {
  readonly session: Session;
  /** It was there before: the CONNACK says so. */
  readonly present: boolean;
}

export class SessionTable {
  readonly #sessions = new Map<string, Session>();
  /** Persistent sessions without a connection, the one away longest first. */
  readonly #away = new Set<Session>();
  readonly #share: SessionShare;
  readonly #awayMax: number;
  readonly #forget: (session: Session) => void;
  #assigned = 0;

  constructor(share: SessionShare, options: { readonly awayMax: number; readonly forget: (session: Session) => void }) {
    this.#share = share;
    this.#awayMax = options.awayMax;
    this.#forget = options.forget;
  }

  get count(): number {
    return this.#sessions.size;
  }

  get awayCount(): number {
    return this.#away.size;
  }

  /** A client id that nobody uses, for a client that gave none [MQTT-3.1.3-6]. */
  assignClientId(): string {
    let clientId: string;
    do clientId = `auto-${++this.#assigned}`;
    while (this.#sessions.has(clientId));
    return clientId;
  }

  /** The session of a client that was admitted. A connection that has it must have been ended before. */
  open(clientId: string, principal: Principal, request: SessionRequest): OpenedSession {
    const before = this.#sessions.get(clientId);
    if (before !== undefined) {
      this.#away.delete(before);
      if (!request.cleanStart && before.principal.name === principal.name) {
        before.expirySeconds = request.expirySeconds;
        return { session: before, present: true };
      }
      this.#drop(before);
    }
    const session = new Session({ clientId, principal, expirySeconds: request.expirySeconds }, this.#share);
    this.#sessions.set(clientId, session);
    return { session, present: false };
  }

  /** The connection of `session` ended. */
  leave(session: Session, _monotonicMs: number): void {
    session.detach();
    if (session.clean) {
      this.#drop(session);
      return;
    }
    this.#away.add(session);
    for (const oldest of this.#away) {
      if (this.#away.size <= this.#awayMax) return;
      this.#away.delete(oldest);
      this.#share.traffic.dropped('session-dropped', oldest.queueLength);
      this.#drop(oldest);
    }
  }

  /** Ends the sessions whose time is over. */
  sweep(_monotonicMs: number): void {}

  #drop(session: Session): void {
    this.#sessions.delete(session.clientId);
    session.discard();
    this.#forget(session);
  }
}
