// All sessions by client id, and the rule of takeover: one client id, one connection [MQTT-3.1.4-3].
//
//   open() ──► connected ──leave()──► away ──open()──► connected
//                              │        └─ expiry over, or too many away ──► ended
//                              └─ expiry 0 ──► ended
//
// A session is resumed only by the principal that made it: a client id alone opens nobody else's queue. Sessions
// whose client is away are bounded; the one away longest is dropped (`dropOldest`) and its messages are counted.
// Whoever has something to do at a session's end (subscriptions, a delayed will) is told once by `forget`.

import type { ClientWire } from './client-wire.ts';
import type { Principal, StoredState } from './ports.ts';
import { Session, type SessionShare } from './session.ts';
import { StoredViews } from './stored-views.ts';

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

export interface SessionTableOptions {
  readonly awayMax: number;
  /** The session is over: its subscriptions and its will are due. */
  readonly forget: (session: Session) => void;
  /** The session goes on in another form: what was decided for its connection has to be decided anew. */
  readonly rewired: () => void;
}

const neverExpires = 0xffff_ffff;
const millisecondsPerSecond = 1000;

export class SessionTable {
  readonly #sessions = new Map<string, Session>();
  /** Persistent sessions without a connection, the one away longest first. */
  readonly #away = new Set<Session>();
  readonly #share: SessionShare;
  readonly #options: SessionTableOptions;
  #assigned = 0;
  #serial = 0;
  #expired = 0;

  constructor(share: SessionShare, options: SessionTableOptions) {
    this.#share = share;
    this.#options = options;
  }

  get count(): number {
    return this.#sessions.size;
  }

  get awayCount(): number {
    return this.#away.size;
  }

  /** Sessions whose time was over, since the start. */
  get expiredCount(): number {
    return this.#expired;
  }

  get(clientId: string): Session | undefined {
    return this.#sessions.get(clientId);
  }

  all(): IterableIterator<Session> {
    return this.#sessions.values();
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
    const { cleanStart, expirySeconds, wire } = request;
    const before = this.#sessions.get(clientId);
    if (before !== undefined) {
      this.#away.delete(before);
      const isOver = this.#isOver(before, this.#share.clock.monotonicMs());
      if (!cleanStart && !isOver && before.principal.name === principal.name) {
        this.#resume(before, request);
        return { session: before, present: true };
      }
      this.#drop(before);
    }
    const session = this.#add({ clientId, principal, expirySeconds, wire });
    session.save();
    return { session, present: false };
  }

  /** The connection of `session` ended. */
  leave(session: Session, monotonicMs: number): void {
    session.detach();
    if (session.clean) {
      this.#drop(session);
      return;
    }
    session.leftMs = monotonicMs;
    this.#away.add(session);
    this.#dropSurplus();
  }

  /** Ends the sessions whose time is over. */
  sweep(monotonicMs: number): void {
    for (const session of this.#away) {
      session.expire();
      if (!this.#isOver(session, monotonicMs)) continue;
      this.#away.delete(session);
      this.#expired++;
      this.#share.traffic.sessionEnded('expired');
      this.#drop(session);
    }
  }

  /**
   * Puts back what the session store had, before anybody connects; a client that was there when the broker ended
   * is away from now on. `subscribed` puts the filters that are not the topic service's back into the tree.
   */
  restore(state: StoredState, subscribed: (session: Session) => void): void {
    const { clock } = this.#share;
    const views = new StoredViews(clock);
    const nowWallMs = clock.wallMs();
    const isTrusted = clock.wallTrusted();
    for (const stored of [...state.sessions].sort((a, b) => leftAt(a, nowWallMs) - leftAt(b, nowWallMs))) {
      const { clientId, principal, expirySeconds } = stored;
      const session = this.#add({ clientId, principal: { ...principal, clientId }, expirySeconds });
      // A wall clock that went back must not keep a session for longer than it asked for; one that nobody vouches
      // for must not end it.
      const awayMs = isTrusted ? Math.max(0, nowWallMs - leftAt(stored, nowWallMs)) : 0;
      session.leftMs = clock.monotonicMs() - awayMs;
      session.restore(stored, views);
      this.#away.add(session);
      subscribed(session);
    }
    this.#dropSurplus();
  }

  #resume(session: Session, { expirySeconds, wire }: SessionRequest): void {
    const { version, packetBytesMax } = session.wire;
    session.wire = wire;
    session.leftMs = 0;
    session.expirySeconds = expirySeconds;
    if (wire.version !== version || wire.packetBytesMax !== packetBytesMax) this.#options.rewired();
  }

  #add(client: {
    readonly clientId: string;
    readonly principal: Principal;
    readonly expirySeconds: number;
    readonly wire?: ClientWire;
  }): Session {
    const session = new Session({ ...client, serial: ++this.#serial }, this.#share);
    this.#sessions.set(client.clientId, session);
    return session;
  }

  #isOver({ expirySeconds, leftMs }: Session, monotonicMs: number): boolean {
    return expirySeconds !== neverExpires && monotonicMs - leftMs >= expirySeconds * millisecondsPerSecond;
  }

  #dropSurplus(): void {
    for (const oldest of this.#away) {
      if (this.#away.size <= this.#options.awayMax) return;
      this.#away.delete(oldest);
      this.#share.traffic.sessionEnded('too-many');
      this.#drop(oldest);
    }
  }

  #drop(session: Session): void {
    this.#sessions.delete(session.clientId);
    session.discard();
    this.#options.forget(session);
  }
}

function leftAt({ leftAtMs }: { readonly leftAtMs: number }, nowWallMs: number): number {
  return leftAtMs === 0 ? nowWallMs : leftAtMs;
}
