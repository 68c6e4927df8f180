// What the broker needs from outside, in its own words. The gateway and the hub plug in different answers.
//
// Authenticator: who is this. Authoriser: may they. TopicProtocol: a protocol spoken on MQTT topics (IoT Hub's
// device protocol), asked before ordinary publish/subscribe. Nothing here knows about routes, stores or twins.

import type { Identity } from '../model/address.ts';
import type { PeerCredentials } from '../platform/net.ts';

export interface ConnectAttempt {
  readonly clientId: string;
  readonly username: string | undefined;
  readonly password: Uint8Array | undefined;
  /** Name of the listener the client came through, as configured: `unix`, `tls`, `tcp`. */
  readonly listener: string;
  readonly remote: string;
  readonly peer: PeerCredentials | undefined;
}

export interface Principal {
  /** For logs and authorisation: the identity key, or the user name of a generic client. */
  readonly name: string;
  /** Present for IoT Hub identities. */
  readonly identity: Identity | undefined;
}

export type Admission =
  | {
      readonly admitted: true;
      readonly principal: Principal /** Wall time at which the credentials end; the broker closes the connection then. */;
      readonly expiresAtMs: number | undefined;
    }
  | {
      readonly admitted: false;
      readonly reason: 'identifier-rejected' | 'unavailable' | 'bad-credentials' | 'not-authorized';
      readonly detail: string;
    };

export interface Authenticator {
  authenticate(attempt: ConnectAttempt): Promise<Admission>;
}

export interface Authoriser {
  mayPublish(principal: Principal, topic: string): boolean;
  maySubscribe(principal: Principal, filter: string): boolean;
}

export interface InboundPublish {
  readonly topic: string;
  /** A copy: it may be kept. */
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly duplicate: boolean;
}

/** A connected client as a TopicProtocol sees it. */
export interface BrokerClient {
  readonly clientId: string;
  readonly principal: Principal;
  readonly cleanSession: boolean;
  /**
   * Sends one message to this client alone, whatever it has subscribed to.
   * QoS 1 resolves when the client's PUBACK arrived; QoS 0 when the bytes were handed to the socket.
   * Rejects with BROKER_CLIENT_GONE when the connection ends first.
   */
  deliver(message: { readonly topic: string; readonly payload: Uint8Array; readonly qos: 0 | 1 }): Promise<void>;
  /** Ends the connection (3.1.1 has no reason on the wire: it is logged and counted). */
  disconnect(reason: string): void;
}

/** A protocol on top of MQTT topics. The broker asks it first; what it does not own is ordinary publish/subscribe. */
export interface TopicProtocol {
  ownsTopic(topic: string): boolean;
  ownsFilter(filter: string): boolean;
  /** Resolves when the message is safe: the broker then acknowledges (in order of arrival). Rejects: the client is disconnected. */
  publish(client: BrokerClient, publish: InboundPublish): Promise<void>;
  /** The granted QoS (at most `qos`), or undefined to refuse. */
  subscribe(client: BrokerClient, filter: string, qos: 0 | 1 | 2): 0 | 1 | undefined;
  unsubscribe(client: BrokerClient, filter: string): void;
  /** `filters`: the owned filters a resumed session still holds, with their granted QoS. */
  connected(client: BrokerClient, filters: readonly string[]): void;
  disconnected(client: BrokerClient): void;
}
