// Enhanced authentication of one connection (MQTT 5 §4.12): at its CONNECT, and again whenever its client asks.
//
//   CONNECT method data ──► next() ──► AUTH 0x18 challenge ──► AUTH 0x18 response ──► next() … ──► CONNACK
//   AUTH 0x19 method data ─► next() ──► AUTH 0x18 …                                           ──► AUTH 0x00
//
// Owns the rounds: one at a time, at most brokerAuthenticationRoundsMax, one method for the life of the connection
// [MQTT-4.12.0-5], [MQTT-4.12.1-1]. Who is admitted decides the port's exchange; a failing one admits nobody.

import { Buffer } from 'node:buffer';
import { brokerAuthenticationRoundsMax } from '../limits.ts';
import { errorMessage } from '../model/errors.ts';
import type { ProtocolProblem } from '../protocol/mqtt/errors.ts';
import { decodePacket, encodePacket } from '../protocol/mqtt/packet.ts';
import { reasonCode } from '../protocol/mqtt/reason-codes.ts';
import type { AuthenticationExchange, AuthenticationStep, Authenticator, ConnectAttempt } from './ports.ts';

export interface AuthRequest {
  /** continueAuthentication or reAuthenticate. */
  readonly reason: number;
  readonly data: Uint8Array | undefined;
}

export class EnhancedAuthentication {
  readonly method: string;
  readonly #authenticator: Authenticator;
  readonly #attempt: ConnectAttempt;
  #exchange: AuthenticationExchange | undefined;
  #rounds = 0;
  #isThinking = false;

  constructor(method: string, attempt: ConnectAttempt, authenticator: Authenticator) {
    this.method = method;
    this.#attempt = attempt;
    this.#authenticator = authenticator;
  }

  /** Starts anew. False when the method is not spoken, or an exchange is under way. */
  begin(): boolean {
    if (this.#exchange !== undefined) return false;
    this.#exchange = this.#authenticator.exchange?.(this.method, this.#attempt);
    this.#rounds = 0;
    return this.#exchange !== undefined;
  }

  /** The client's answer is waited for: only then may it send one. */
  get isExpecting(): boolean {
    return this.#exchange !== undefined && !this.#isThinking;
  }

  /** One round with the client's data. Never rejects. */
  async next(data: Uint8Array | undefined): Promise<AuthenticationStep> {
    this.#rounds++;
    this.#isThinking = true;
    const step = await this.#step(data);
    this.#isThinking = false;
    if (step.done) this.#exchange = undefined;
    return step;
  }

  async #step(data: Uint8Array | undefined): Promise<AuthenticationStep> {
    if (this.#exchange === undefined || this.#rounds > brokerAuthenticationRoundsMax) {
      return refusedStep('not-authorized', `more than ${brokerAuthenticationRoundsMax} rounds`);
    }
    try {
      return await this.#exchange.next(data);
    } catch (error) {
      return refusedStep('unavailable', errorMessage(error));
    }
  }

  /** The AUTH in `bytes`, or what is wrong with it: a re-authentication by another method too [MQTT-4.12.1-1]. */
  read(bytes: Buffer): AuthRequest | { readonly problem: ProtocolProblem; readonly detail: string } {
    const decoded = decodePacket(bytes, 5);
    if (!decoded.ok) return decoded;
    if (decoded.packet.cmd !== 'auth') return { problem: 'unexpected-packet', detail: decoded.packet.cmd };
    const { reasonCode: reason, properties = {} } = decoded.packet;
    if (properties.authenticationMethod !== this.method) {
      return { problem: 'protocol-error', detail: 'AUTH by another method than CONNECT' };
    }
    if (reason !== reasonCode.continueAuthentication && reason !== reasonCode.reAuthenticate) {
      return { problem: 'protocol-error', detail: 'AUTH of a client with a reason of servers' }; // §3.15.2.1
    }
    return { reason, data: properties.authenticationData };
  }

  /** AUTH to the client: a challenge, or the end of a re-authentication. */
  packet(reason: number, data: Uint8Array | undefined): Buffer {
    const authenticationData = data === undefined ? {} : { authenticationData: Buffer.from(data) };
    return encodePacket(
      { cmd: 'auth', reasonCode: reason, properties: { authenticationMethod: this.method, ...authenticationData } },
      5,
    );
  }
}

function refusedStep(reason: 'unavailable' | 'not-authorized', detail: string): AuthenticationStep {
  return { done: true, admission: { admitted: false, reason, detail }, data: undefined };
}
