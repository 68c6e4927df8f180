// What an admitted client and the broker say to each other, until the connection ends: one for each connection.
//
//   PUBLISH, PUBREL ──► Publisher        PUBACK, PUBREC, PUBCOMP ──► Session        SUBSCRIBE ──► subscribing.ts
//   PINGREQ ──► PINGRESP                 AUTH ──► EnhancedAuthentication            DISCONNECT ──► the end
//
// Owns which packet may come now and what answers it. Does not own the socket, its time-outs and its state; the
// connection asks whether it may go on, and is told to stop reading or to end.
//
// What an answer promises is on stable storage before the answer leaves (FlushWait).

import { Buffer } from 'node:buffer';
import { errorMessage } from '../model/errors.ts';
import { ackBytes, ackFirstByte, encodeAck } from '../protocol/mqtt/ack.ts';
import { flagsMask, type MqttVersion, packetType, typeShift } from '../protocol/mqtt/frame.ts';
import { decodePacket, encodePacket } from '../protocol/mqtt/packet.ts';
import { plainPublishByte } from '../protocol/mqtt/publish.ts';
import { isFailure, reasonCode } from '../protocol/mqtt/reason-codes.ts';
import { type AckedRun, plainQos1Byte, plainQos2Byte } from './acked-run.ts';
import { ConnectedClient } from './broker-client.ts';
import type { ClientWire } from './client-wire.ts';
import type { ConnectionShare } from './connection-share.ts';
import type { EnhancedAuthentication } from './enhanced-authentication.ts';
import type { Admittance } from './entrance.ts';
import type { EndReason } from './errors.ts';
import { FlushWait } from './flush-wait.ts';
import type { ConnectRequest } from './handshake.ts';
import { type MessageRate, spendAll, TokenBucket } from './message-rate.ts';
import type { Outbox } from './outbox.ts';
import type { PacketRange } from './packet-reader.ts';
import type { Principal } from './ports.ts';
import type { Refusal } from './publish-connection.ts';
import { Publisher } from './publisher.ts';
import type { Session } from './session.ts';
import { malformedFilter, replayRetained, subscribe, unsubscribe } from './subscribing.ts';
import type { Will } from './will.ts';

/** Why reading is held, one bit each. */
export const holding = { authentication: 1, service: 2, output: 4, rate: 8, store: 16 } as const;

/** The connection, as far as the conversation needs it. */
interface ConversationConnection {
  readonly outbox: Outbox;
  readonly isOpen: boolean;
  send(bytes: Buffer): void;
  /** Stops reading, until release() with the same bit of `holding`. */
  hold(reason: number): void;
  release(reason: number): void;
  /** The packet at hand is not done with: it comes again when nothing holds any more. */
  keepPacket(): void;
  end(reason: EndReason, detail?: string): void;
}

export interface ConversationStart {
  readonly session: Session;
  readonly request: ConnectRequest;
  readonly admittance: Admittance;
  /** What was granted; 0 is none. */
  readonly keepAliveMs: number;
}

const fixedHeaderBytesMin = 2;
const pubackByte = ackFirstByte(packetType.puback);
const pubrecByte = ackFirstByte(packetType.pubrec);
const pubrelByte = ackFirstByte(packetType.pubrel);
const pubcompByte = ackFirstByte(packetType.pubcomp);
const pingresp = Buffer.from([packetType.pingresp << typeShift, 0]);

export class Conversation {
  readonly session: Session;
  readonly client: ConnectedClient;
  readonly principal: Principal;
  readonly version: MqttVersion;
  readonly keepAliveMs: number;
  readonly will: Will | undefined;
  /** Wall time of the admission. */
  readonly connectedAtMs: number;
  /** Answers that wait for the session store. */
  readonly safe: FlushWait;
  /** Wall time at which the credentials end. */
  expiresAtMs: number | undefined;
  readonly #connection: ConversationConnection;
  readonly #share: ConnectionShare;
  /** Made with its first publish: many clients only listen. */
  #publisher: Publisher | undefined;
  readonly #authentication: EnhancedAuthentication | undefined;
  readonly #rate: MessageRate | undefined;
  readonly #wire: ClientWire;
  /** Session expiry as CONNECT asked for it. */
  readonly #expiryAsked: number;

  constructor(start: ConversationStart, connection: ConversationConnection, share: ConnectionShare) {
    const { session, request, admittance, keepAliveMs } = start;
    const { clock, policy } = share;
    this.session = session;
    this.principal = admittance.principal;
    this.version = request.wire.version;
    this.keepAliveMs = keepAliveMs;
    this.will = request.will;
    this.connectedAtMs = clock.wallMs();
    this.expiresAtMs = admittance.expiresAtMs;
    this.safe = new FlushWait(share, (error) => connection.end('storage-failed', errorMessage(error)));
    this.client = new ConnectedClient(this, this.principal);
    this.#connection = connection;
    this.#share = share;
    this.#authentication = admittance.authentication;
    this.#wire = request.wire;
    this.#expiryAsked = request.expirySeconds;
    if (share.overallRate !== undefined || policy.messagesPerSecondMax > 0) this.#rate = this.#rateOf(share);
  }

  get outbox(): Outbox {
    return this.#connection.outbox;
  }

  get isOpen(): boolean {
    return this.#connection.isOpen;
  }

  /** Neighbouring packets at `at`, one like the other: returns the offset behind those that are done with. */
  run(buffer: Buffer, at: number, end: number): number {
    switch (buffer[at]) {
      case plainPublishByte:
        return this.#publisher?.run(buffer, at, end) ?? at;
      case plainQos1Byte:
      case plainQos2Byte:
        return this.#publisher?.ackedRun(buffer, at, end) ?? at;
      case pubackByte:
      case pubrecByte:
      case pubcompByte:
        return this.#acknowledgedRun(buffer, at, end);
      case pubrelByte:
        return this.#publisher?.releasedRun(buffer, at, end) ?? at;
      default:
        return at;
    }
  }

  packet(buffer: Buffer, range: PacketRange): void {
    const firstByte = buffer[range.at] as number;
    const type = firstByte >> typeShift;
    if (this.version === 5 && range.bodyAt - range.at > fixedHeaderBytesMin && buffer[range.bodyAt - 1] === 0) {
      this.end('malformed-length', 'a longer length than it need be'); // [MQTT-1.5.5-1]
      return;
    }
    switch (type) {
      case packetType.publish:
        this.#publisherOf().publish(buffer, range);
        break;
      case packetType.puback:
      case packetType.pubrec:
      case packetType.pubrel:
      case packetType.pubcomp:
        this.#acknowledgement(buffer, range);
        break;
      case packetType.subscribe:
      case packetType.unsubscribe:
        this.#subscription(buffer.subarray(range.at, range.end));
        break;
      case packetType.pingreq:
        if ((firstByte & flagsMask) !== 0 || range.end !== range.bodyAt) this.end('malformed-packet', 'PINGREQ');
        else this.#connection.send(pingresp);
        break;
      case packetType.disconnect:
        this.#disconnect(buffer.subarray(range.at, range.end));
        break;
      case packetType.auth:
        this.#authenticateAgain(buffer.subarray(range.at, range.end));
        break;
      default:
        this.end('unexpected-packet', `packet type ${type}`); // a second CONNECT too [MQTT-3.1.0-2]
    }
  }

  /** The connection ended. */
  close(): void {
    this.#publisher?.close();
    if (this.#rate !== undefined) this.#share.rates.forget(this.#rate);
  }

  end(reason: EndReason, detail?: string): void {
    this.#connection.end(reason, detail);
  }

  /** On behalf of whoever has the client in hand. */
  disconnect(reason: string): void {
    this.end('disconnected', reason);
  }

  ack(type: number, packetId: number, reason: number): void {
    if (reason === reasonCode.success) this.outbox.ack(type, packetId);
    else this.#connection.send(encodeAck(type, packetId, reason));
  }

  /** `because` says to people what `reason` says to programs, if the client wants that [MQTT-3.1.2-29]. */
  refuse(type: number, packetId: number, why: Refusal): void {
    if (!this.#explain(type, packetId, why)) this.ack(type, packetId, why.reason);
  }

  ackRun(type: number, run: AckedRun): void {
    this.outbox.ackRun(type, run);
  }

  answerRun(type: number, buffer: Buffer, range: { readonly from: number; readonly to: number }): void {
    this.outbox.answerRun(type, buffer, range);
  }

  /** `count` publishes came: back-pressure on who is faster than the policy has it. */
  came(count: number): void {
    const rate = this.#rate;
    if (rate === undefined || spendAll(rate, count) || !this.isOpen || !this.#share.rates.wait(rate)) return;
    this.#share.traffic.throttled();
    this.#connection.hold(holding.rate);
  }

  hold(): void {
    this.#connection.hold(holding.service);
  }

  release(): void {
    this.#connection.release(holding.service);
  }

  /** Stops reading: the PUBLISH at hand comes again when goOn() is called. */
  waitWithPacket(): void {
    this.#connection.hold(holding.store);
    this.#connection.keepPacket();
  }

  goOn(): void {
    this.#connection.release(holding.store);
  }

  #rateOf({ overallRate, policy, clock }: ConnectionShare): MessageRate {
    const buckets = overallRate === undefined ? [] : [overallRate];
    if (policy.messagesPerSecondMax > 0)
      buckets.push(new TokenBucket(policy.messagesPerSecondMax, clock.monotonicMs()));
    return { buckets, release: () => this.#connection.release(holding.rate) };
  }

  #publisherOf(): Publisher {
    this.#publisher ??= new Publisher(this, this, this.#share);
    return this.#publisher;
  }

  /** A refusal in words; false when the client wants none or takes none as long. */
  #explain(type: number, messageId: number, { reason, because }: Refusal): boolean {
    if (!this.#wire.wantsProblems) return false;
    const cmd = type === packetType.puback ? 'puback' : 'pubrec';
    const properties = { reasonString: because };
    const bytes = encodePacket({ cmd, messageId, reasonCode: reason, properties }, 5);
    if (bytes.length > this.#wire.packetBytesMax) return false; // [MQTT-3.4.2-2], [MQTT-3.5.2-2]
    this.#connection.send(bytes);
    return true;
  }

  #acknowledgedRun(buffer: Buffer, at: number, end: number): number {
    const to = this.session.acknowledgedRun(buffer, at, end);
    this.#share.received.packets += (to - at) / ackBytes;
    return to;
  }

  #acknowledgement(buffer: Buffer, range: PacketRange): void {
    const { ack } = this.#share;
    const { session, version } = this;
    const problem = ack.read(buffer, range, version);
    const { type, packetId, reason } = ack;
    if (problem !== undefined) {
      this.end(problem, `packet type ${type}`);
      return;
    }
    if (type === packetType.pubrel) {
      this.#publisherOf().released(packetId);
      return;
    }
    const known = session.acknowledged(type, packetId, reason);
    if (type !== packetType.pubrec || isFailure(reason)) return;
    const answer = known || version !== 5 ? reasonCode.success : reasonCode.packetIdentifierNotFound;
    // A PUBREL before its step is safe would make the message come again after a power cut.
    if (known && session.isStored) this.#whenSafe(() => this.ack(packetType.pubrel, packetId, answer));
    else this.ack(packetType.pubrel, packetId, answer);
  }

  /** Calls `answer` once everything put so far is on stable storage, if the client is still there. */
  #whenSafe(answer: () => void): void {
    this.safe.after((isSafe) => {
      if (isSafe && this.isOpen) answer();
    });
  }

  #subscription(bytes: Buffer): void {
    const { version, session } = this;
    const decoded = decodePacket(bytes, version);
    if (!decoded.ok) {
      this.end(decoded.problem, decoded.detail);
      return;
    }
    const { packet } = decoded;
    if (packet.cmd !== 'subscribe' && packet.cmd !== 'unsubscribe') return;
    const { messageId = 0 } = packet;
    const filters =
      packet.cmd === 'subscribe' ? packet.subscriptions.map(({ topic }) => topic) : packet.unsubscriptions;
    const malformed = malformedFilter(filters, version);
    if (malformed !== undefined) {
      this.end('malformed-filter', malformed);
      return;
    }
    const answer =
      packet.cmd === 'subscribe' ? this.#subscribed(packet, messageId) : this.#unsubscribed(filters, messageId);
    // The topic service may have ended the connection over it.
    if (!this.isOpen) return;
    if (session.isStored) this.#whenSafe(answer);
    else answer();
  }

  #subscribed(packet: Parameters<typeof subscribe>[0], messageId: number): () => void {
    const { codes, replays } = subscribe(packet, this, this.#share);
    return () => {
      this.#answer(encodePacket({ cmd: 'suback', messageId, granted: [...codes] }, this.version));
      if (this.isOpen) replayRetained(replays, this, this.#share);
    };
  }

  #unsubscribed(filters: readonly string[], messageId: number): () => void {
    const codes = unsubscribe(filters, this, this.#share);
    return () => {
      if (this.version !== 5) this.outbox.ack(packetType.unsuback, messageId);
      else this.#answer(encodePacket({ cmd: 'unsuback', messageId, granted: [...codes] }, this.version));
    };
  }

  /** An answer that may be larger than the client takes [MQTT-3.1.2-24]. */
  #answer(bytes: Buffer): void {
    if (bytes.length > this.#wire.packetBytesMax)
      this.end('packet-too-large', 'the answer is larger than the client takes');
    else this.#connection.send(bytes);
  }

  #disconnect(bytes: Buffer): void {
    const decoded = decodePacket(bytes, this.version);
    if (!decoded.ok) {
      this.end(decoded.problem, decoded.detail);
      return;
    }
    if (decoded.packet.cmd !== 'disconnect') return;
    const { reasonCode: reason = reasonCode.success, properties = {} } = decoded.packet;
    const { sessionExpiryInterval: expirySeconds, serverReference, reasonString } = properties;
    if (serverReference !== undefined) {
      this.end('protocol-error', 'a server reference of a client'); // §3.14.2.2.5
      return;
    }
    if (expirySeconds !== undefined) {
      if (this.#expiryAsked === 0 && expirySeconds > 0) {
        this.end('protocol-error', 'session expiry raised from 0'); // §3.14.2.2.2
        return;
      }
      this.session.expirySeconds = Math.min(expirySeconds, this.#share.policy.sessionExpirySecondsMax);
    }
    if (reason === reasonCode.success) this.end('client-disconnect', reasonString);
    else this.end('client-disconnect-with-will', `reason ${reason} ${reasonString ?? ''}`.trimEnd());
  }

  /** AUTH: the client shows again who it is (MQTT 5 §4.12.1). Everything else goes on meanwhile. */
  #authenticateAgain(bytes: Buffer): void {
    const authentication = this.#authentication;
    if (authentication === undefined) {
      this.end(this.version === 5 ? 'protocol-error' : 'unexpected-packet', 'AUTH without a method');
      return;
    }
    const read = authentication.read(bytes);
    if ('problem' in read) {
      this.end(read.problem, read.detail);
      return;
    }
    const begins = read.reason === reasonCode.reAuthenticate;
    if (begins ? !authentication.begin() : !authentication.isExpecting) {
      this.end('protocol-error', 'AUTH out of turn');
      return;
    }
    const round = async (): Promise<void> => {
      const step = await authentication.next(read.data);
      if (!this.isOpen) return;
      if (!step.done) {
        this.#answer(authentication.packet(reasonCode.continueAuthentication, step.data));
        return;
      }
      const { admission, data } = step;
      if (!admission.admitted || admission.principal.name !== this.principal.name) {
        this.end('not-authorized', admission.admitted ? 're-authenticated as somebody else' : admission.detail);
        return;
      }
      this.expiresAtMs = admission.expiresAtMs;
      this.#answer(authentication.packet(reasonCode.success, data));
    };
    this.#share.track(round());
  }
}
