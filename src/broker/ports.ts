// What the broker needs from outside, in its own words. The gateway and the hub plug in different answers.
//
// Authenticator: who is this. Authoriser: may they. TopicProtocol: a protocol spoken on MQTT topics (IoT Hub's
// device protocol), asked before ordinary publish/subscribe. Nothing here knows about routes, stores or twins.

import type { Identity } from '../model/address.ts';
import type { PeerCertificate, PeerCredentials } from '../platform/net.ts';
import type { PublishView } from '../protocol/mqtt/publish.ts';

export interface ConnectAttempt {
  readonly clientId: string;
  readonly username: string | undefined;
  readonly password: Uint8Array | undefined;
  /** Name of the listener the client came through, as configured: `unix`, `tls`, `tcp`. */
  readonly listener: string;
  /** `address:port`, or `unix:path`. A system call at the first look, so ask before anything else is waited for. */
  remote(): string;
  readonly peer: PeerCredentials | undefined;
  /** What the client showed in its TLS handshake, whether or not anybody vouches for it. */
  readonly certificate?: PeerCertificate | undefined;
  /** Common name of the client certificate that TLS has verified; empty when it has none. */
  readonly certificateName?: string | undefined;
}

export interface Principal {
  /** For logs and authorisation: the identity key, or the user name of a generic client. */
  readonly name: string;
  /** Present for IoT Hub identities. */
  readonly identity: Identity | undefined;
  /** For rules that look at it. The table of sessions sets it in principals that were stored without. */
  readonly clientId?: string | undefined;
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

/**
 * One enhanced authentication (MQTT 5 §4.12): challenges and responses of a method, for a CONNECT or for a
 * re-authentication. It is forgotten without a word when the connection ends first.
 */
export interface AuthenticationExchange {
  /** Takes the client's data, of the CONNECT first and then of each AUTH. A rejection admits nobody. */
  next(data: Uint8Array | undefined): Promise<AuthenticationStep>;
}

/** `data` is for the client: the challenge, or what goes with the success. */
export type AuthenticationStep =
  | { readonly done: false; readonly data: Uint8Array | undefined }
  | { readonly done: true; readonly admission: Admission; readonly data: Uint8Array | undefined };

export interface Authenticator {
  /** An answer that needs no waiting is given at once: it spares each connection a turn. */
  authenticate(attempt: ConnectAttempt): Admission | Promise<Admission>;
  /**
   * Begins an enhanced authentication; undefined when `method` is not spoken (0x8C). A client that connected by a
   * method may authenticate again by it; whoever does so must stay the same principal.
   */
  exchange?(method: string, attempt: ConnectAttempt): AuthenticationExchange | undefined;
}

export interface Authoriser {
  /** Changes whenever an answer may have changed; absent: answers never change. Whoever remembers an answer compares it. */
  readonly epoch?: number;
  mayPublish(principal: Principal, topic: string): boolean;
  /** Of a shared subscription, `filter` is what is shared. */
  maySubscribe(principal: Principal, filter: string): boolean;
  /** Whether a message of `topic` may reach the principal, whatever it has subscribed to; absent: always. */
  mayReceive?(principal: Principal, topic: string): boolean;
}

export interface InboundPublish {
  readonly topic: string;
  /** A copy: it may be kept. */
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly duplicate: boolean;
  /** What a client left behind for when its connection breaks. */
  readonly will?: true;
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

/** A message of ordinary publish and subscribe, as a tap gets it. */
export interface TappedMessage {
  readonly topic: string;
  /** A copy: it may be kept. */
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  /** MQTT 5 properties as they stand in the packet, without their length and without those of one hop. A copy. */
  readonly propertyBytes: Buffer;
  /** What is left of its message expiry interval; undefined: it does not expire. */
  readonly expiresInMs: number | undefined;
  /** Who published it from inside (Broker.deliver); undefined: a client. */
  readonly origin: string | undefined;
}

/** Somebody inside who takes messages along, beside their subscribers: a bridge to another broker. */
export interface MessageTap {
  /** Changes whenever an answer of takes() may have changed. */
  readonly epoch: number;
  /** Whether messages of `topic` are taken. */
  takes(topic: string): boolean;
  /** Resolves when the message is safe: only then its publisher gets its acknowledgement. Rejects: the publisher is disconnected. */
  take(message: TappedMessage): Promise<void>;
}

// ── sessions on stable storage ──

/** A subscription as it is kept; `filter` may be `$share/<name>/<filter>`. */
export interface StoredSubscription {
  readonly filter: string;
  readonly qos: 0 | 1 | 2;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: 0 | 1 | 2;
  /** 0: none. */
  readonly subscriptionId: number;
  /** The topic service's filter: it is not in the subscription tree. */
  readonly owned: boolean;
  /** Retained messages of it are still to be sent: after a restart they are, from the first. */
  readonly replaying: boolean;
}

export interface StoredWill {
  /** PublishView.canonical(). */
  readonly canonical: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly delaySeconds: number;
  /** Message expiry: it begins when the will is published. Undefined: never. */
  readonly expirySeconds: number | undefined;
}

export interface StoredSession {
  readonly clientId: string;
  readonly principal: Principal;
  /** 0xffffffff: the session never ends by itself. */
  readonly expirySeconds: number;
  /** Wall time at which the connection ended; 0 while it is there (found so after a start: it ended with the broker). */
  readonly leftAtMs: number;
  /** To be published when its delay is over, or, for a client that was there, when the broker is back. */
  readonly will: StoredWill | undefined;
}

/** A message as it comes back: PublishView.fromCanonical() makes a view of it again. Sessions that got the same message share `canonical`. */
export interface StoredMessage {
  readonly canonical: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  /** Wall time; 0: never. */
  readonly expiresAtMs: number;
  readonly subscriptionIds: readonly number[];
}

export interface StoredDelivery {
  /** Grows in the order of the queue; the next one is higher than all of them. */
  readonly ordinal: number;
  /** 0: not sent yet. */
  readonly packetId: number;
  /** The acknowledgement that comes next, a packetType (PUBACK, PUBREC, PUBCOMP); 0: not sent yet. */
  readonly awaiting: number;
  readonly message: StoredMessage;
}

export interface LoadedSession extends StoredSession {
  readonly subscriptions: readonly StoredSubscription[];
  /** By ordinal. */
  readonly deliveries: readonly StoredDelivery[];
  /** Inbound QoS 2 packet ids between PUBLISH and PUBREL. */
  readonly receiving: readonly number[];
}

export interface StoredState {
  readonly sessions: readonly LoadedSession[];
  readonly retained: readonly { readonly topic: string; readonly message: StoredMessage }[];
  /** Rows that could not be read: they were left out, counted and logged. */
  readonly damaged: number;
}

/**
 * Sessions, queued messages and retained messages on stable storage. Absent: everything lives in memory.
 *
 * Calls other than load() and flushed() are synchronous, cheap, in order, and never throw; what is put in one go,
 * without giving way to anybody else, is on the disk together or not at all; a message put and deleted before the
 * next commit never reaches it. What an acknowledgement promises must be flushed before:
 *   PUBACK, PUBREC    after putMessage, putReceiving, putRetained, deleteRetained
 *   PUBCOMP           after deleteReceiving: else a packet id used again would count as a repetition
 *   PUBLISH QoS 2     after sentMessage: else it would come again under another packet id, and arrive twice
 *   PUBREL            after sentMessage (PUBCOMP awaited): else the PUBLISH would come again, and arrive twice
 *   SUBACK, UNSUBACK, and CONNACK of a persistent session   after what they acknowledge
 * PUBLISH QoS 1 and what follows a PUBACK or PUBCOMP need not wait: the worst is one repetition, marked DUP.
 */
export interface SessionStore {
  /** What was there when the broker ended. Once, before anything else; it rejects STORE_… when the store cannot be read. */
  load(): Promise<StoredState>;
  /** Called when the storage was lost and begins empty: put everything that is alive again, at once and synchronously. */
  onLost(listener: () => void): void;
  /** True: no room for more messages; refuse new ones for sessions and retained topics until it is false again. */
  readonly full: boolean;
  /**
   * Of a store that is full: there is space, but the commits are behind. It is over as soon as they have caught up,
   * so whoever can wait had better wait. Absent: never.
   */
  readonly isBehind?: boolean;
  /** Also changes one that is there. */
  putSession(session: StoredSession): void;
  /** With all that belongs to it. */
  deleteSession(clientId: string): void;
  putSubscription(clientId: string, subscription: StoredSubscription): void;
  deleteSubscription(clientId: string, filter: string): void;
  /** `view` is kept(): it never changes. One object put for many sessions, or retained as well, is stored once. */
  putMessage(
    clientId: string,
    ordinal: number,
    message: {
      readonly view: PublishView;
      readonly qos: 1 | 2;
      readonly retain: boolean;
      readonly subscriptionIds: readonly number[];
    },
  ): void;
  /** It got a packet id, or its PUBREC came (`awaiting` PUBCOMP: the message itself is not needed any more). */
  sentMessage(clientId: string, ordinal: number, step: { readonly packetId: number; readonly awaiting: number }): void;
  deleteMessage(clientId: string, ordinal: number): void;
  putReceiving(clientId: string, packetId: number): void;
  deleteReceiving(clientId: string, packetId: number): void;
  putRetained(topic: string, view: PublishView): void;
  deleteRetained(topic: string): void;
  /**
   * Resolves when everything put and deleted before is on stable storage. Rejects STORE_…: what waited is not
   * acknowledged; it stays put and is tried again by itself. One promise for all who ask within a turn.
   */
  flushed(): Promise<void>;
}
