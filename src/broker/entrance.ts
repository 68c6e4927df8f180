// From CONNECT to CONNACK: who is it, may they leave such a will, and what are they granted.
//
//   CONNECT ──► authenticate() ─────────────────────────────────► admitted ──► connection.admit()
//      │ with a method: exchange ──AUTH──► client ──AUTH──► …         │
//      └────────────────────────────────────────────────────────────┴─ refused: CONNACK with the reason, closed
//
// Reading is held while the authenticator thinks; in an exchange the client may send AUTH or DISCONNECT only, and
// everything together takes at most connectMsMax.

import type { Buffer } from 'node:buffer';
import { errorMessage } from '../model/errors.ts';
import type { Log } from '../platform/log.ts';
import type { PeerCertificate, PeerCredentials } from '../platform/net.ts';
import { packetType, typeShift } from '../protocol/mqtt/frame.ts';
import { reasonCode } from '../protocol/mqtt/reason-codes.ts';
import { holding } from './conversation.ts';
import { EnhancedAuthentication } from './enhanced-authentication.ts';
import type { EndReason } from './errors.ts';
import type { Exchange } from './exchange.ts';
import type { ConnectRequest } from './handshake.ts';
import type { Admission, Authenticator, Authoriser, ConnectAttempt, Principal } from './ports.ts';
import type { SessionTable } from './session-table.ts';

/** A client that may enter. */
export interface Admittance {
  readonly clientId: string;
  readonly principal: Principal;
  /** Wall time at which the credentials end. */
  readonly expiresAtMs: number | undefined;
  /** Present when the client authenticated by a method, which it may do again. */
  readonly authentication: EnhancedAuthentication | undefined;
  /** The last data of that, for the CONNACK. */
  readonly data: Uint8Array | undefined;
}

interface EntranceConnection {
  readonly listener: string;
  readonly remote: string;
  readonly peer: PeerCredentials | undefined;
  readonly certificate: PeerCertificate | undefined;
  readonly isAuthenticating: boolean;
  send(bytes: Buffer): void;
  /** Stops reading, until release() with the same bit of `holding`. */
  hold(reason: number): void;
  release(reason: number): void;
  admit(request: ConnectRequest, admittance: Admittance): void;
  end(reason: EndReason, detail: string): void;
}

interface EntranceShare {
  readonly log: Log;
  readonly authenticator: Authenticator;
  readonly authoriser: Authoriser;
  readonly exchange: Exchange;
  readonly sessions: SessionTable;
  track(work: Promise<void>): void;
}

export class Entrance {
  readonly #request: ConnectRequest;
  readonly #clientId: string;
  readonly #connection: EntranceConnection;
  readonly #share: EntranceShare;
  #authentication: EnhancedAuthentication | undefined;

  constructor(request: ConnectRequest, connection: EntranceConnection, share: EntranceShare) {
    this.#request = request;
    this.#clientId = request.clientId === '' ? share.sessions.assignClientId() : request.clientId;
    this.#connection = connection;
    this.#share = share;
  }

  /** Begins with the credentials, or with the method and its first data, of the CONNECT. */
  start(): void {
    const { method, data } = this.#request;
    if (method === undefined) {
      this.#authenticate();
      return;
    }
    const authentication = new EnhancedAuthentication(method, this.#attempt(), this.#share.authenticator);
    if (!authentication.begin()) {
      this.#connection.end('bad-authentication-method', method); // §4.12
      return;
    }
    this.#authentication = authentication;
    this.#round(authentication, data);
  }

  /** A packet before the CONNACK; only an exchange expects one. */
  packet(bytes: Buffer): void {
    const authentication = this.#authentication;
    const type = (bytes[0] as number) >> typeShift;
    if (type === packetType.disconnect) {
      this.#connection.end('client-disconnect', 'before the CONNACK');
      return;
    }
    if (authentication === undefined || type !== packetType.auth) {
      this.#connection.end('unexpected-packet', `packet type ${type} before the CONNACK`);
      return;
    }
    const read = authentication.read(bytes);
    if ('problem' in read) this.#connection.end(read.problem, read.detail);
    else if (read.reason !== reasonCode.continueAuthentication) {
      this.#connection.end('protocol-error', 're-authentication before the CONNACK');
    } else this.#round(authentication, read.data);
  }

  #round(authentication: EnhancedAuthentication, data: Uint8Array | undefined): void {
    const round = async (): Promise<void> => {
      const step = await authentication.next(data);
      if (!this.#connection.isAuthenticating) return;
      if (step.done) {
        this.#decide(step.admission, step.data);
        return;
      }
      this.#connection.send(authentication.packet(reasonCode.continueAuthentication, step.data));
      this.#connection.release(holding.authentication);
    };
    this.#connection.hold(holding.authentication);
    this.#share.track(round());
  }

  /** A failing authenticator admits nobody, and the client may try again. */
  #authenticate(): void {
    let answer: Admission | Promise<Admission>;
    try {
      answer = this.#share.authenticator.authenticate(this.#attempt());
    } catch (error) {
      answer = this.#failed(error);
    }
    if (answer instanceof Promise) {
      this.#connection.hold(holding.authentication);
      this.#share.track(this.#authenticated(answer));
    } else {
      this.#decide(answer, undefined);
    }
  }

  async #authenticated(answer: Promise<Admission>): Promise<void> {
    const admission = await answer.catch((error: unknown) => this.#failed(error));
    if (this.#connection.isAuthenticating) this.#decide(admission, undefined);
  }

  #failed(error: unknown): Admission {
    this.#share.log.error('authentication failed', { client: this.#clientId, reason: errorMessage(error) });
    return { admitted: false, reason: 'unavailable', detail: errorMessage(error) };
  }

  #attempt(): ConnectAttempt {
    const { username, password } = this.#request;
    const connection = this.#connection;
    const { listener, peer, certificate } = connection;
    const verified = certificate?.authorised === true ? certificate.commonName : undefined;
    return {
      clientId: this.#clientId,
      username,
      password,
      listener,
      remote: () => connection.remote,
      peer,
      certificate,
      certificateName: verified,
    };
  }

  #decide(admission: Admission, data: Uint8Array | undefined): void {
    if (!admission.admitted) {
      this.#connection.end(admission.reason, admission.detail);
      return;
    }
    const { authoriser, exchange } = this.#share;
    const { principal, expiresAtMs } = admission;
    const { will } = this.#request;
    const route = will === undefined ? undefined : exchange.route(will.topic);
    if (route?.owned === false && !authoriser.mayPublish(principal, route.topic)) {
      this.#connection.end('not-authorized', `will topic ${route.topic}`);
      return;
    }
    const authentication = this.#authentication;
    this.#connection.admit(this.#request, { clientId: this.#clientId, principal, expiresAtMs, authentication, data });
  }
}
