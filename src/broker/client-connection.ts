// One network connection: from its first byte to its last.
//
//              CONNECT            admitted
//   expecting ─────────► authenticating ─────────► open ──────────► ended ──► closed by the peer, or destroyed
//       │ time-out, nonsense   │ refused             │ DISCONNECT, loss, time-out, takeover,      after lingerMs
//       └──────────────────────┴─────────────────────┘ protocol error, service rejection …
//
// Owns the protocol's order: what may come when, which answer follows, why it ends. Bytes are packet-reader.ts,
// what the client publishes publisher.ts, memory beyond the connection session.ts.
//
// Invariants
//   Reading is held while the client is authenticated, while inflightInboundMax publishes are unsettled, and while
//   the client does not take its own output: nothing grows without bound, whoever is slow.
//   Whatever a client sends ends at most its own connection, with one reason, counted and logged once.

import { Buffer } from 'node:buffer';
import { brokerLingerMsMax, connectBytesMax, packetBytesMax } from '../limits.ts';
import { errorMessage } from '../model/errors.ts';
import type { Connection, ConnectionSink } from '../platform/net.ts';
import type { ProtocolProblem } from '../protocol/mqtt/errors.ts';
import { flagsMask, packetType, typeShift } from '../protocol/mqtt/frame.ts';
import { decodePacket, encodePacket } from '../protocol/mqtt/packet.ts';
import { readUint16 } from '../protocol/mqtt/publish.ts';
import { isValidTopicFilter } from '../protocol/mqtt/topic.ts';
import { ConnectedClient } from './broker-client.ts';
import { wire311 } from './client-wire.ts';
import type { ConnectionShare } from './connection-share.ts';
import type { EndReason } from './errors.ts';
import { type ConnectRequest, connack, connackCode, readConnect } from './handshake.ts';
import { Outbox } from './outbox.ts';
import { type PacketRange, PacketReader, type PacketSink } from './packet-reader.ts';
import type { Admission, Principal } from './ports.ts';
import { Publisher, type PublishSource } from './publisher.ts';
import type { Session } from './session.ts';
import { replayRetained, subscribe, unsubscribe } from './subscribing.ts';
import { publishWill, type Will } from './will.ts';

/** What there is once the client was admitted. */
interface Admitted {
  readonly session: Session;
  readonly client: ConnectedClient;
  readonly publisher: Publisher;
  readonly principal: Principal;
  readonly keepAliveMs: number;
  readonly expiresAtMs: number | undefined;
  readonly will: Will | undefined;
  readonly connectedAtMs: number;
}

/** Why reading is held, one bit each. */
const holdAuthentication = 1;
const holdService = 2;
const holdOutput = 4;

/** Session expiry interval of a 3.1.1 session that is not clean. */
const neverExpires = 0xffff_ffff;
const keepAliveShare = 1.5;
const pingresp = Buffer.from([packetType.pingresp << typeShift, 0]);
const ackRestBytes = 2;
const pubrelFlags = 2;

export class ClientConnection implements ConnectionSink, PacketSink {
  readonly remote: string;
  readonly #listener: string;
  readonly #stream: Connection;
  readonly #share: ConnectionShare;
  readonly #reader: PacketReader;
  readonly #outbox: Outbox;
  readonly #acceptedMs: number;
  #state: 'expecting' | 'authenticating' | 'open' | 'ended' = 'expecting';
  #admitted: Admitted | undefined;
  #holds = 0;
  /** Something came since the last sweep: cheaper than a clock reading per read. */
  #heard = false;
  #heardMs: number;
  #endedMs = 0;

  constructor(stream: Connection, listener: string, share: ConnectionShare) {
    this.remote = stream.remote;
    this.#listener = listener;
    this.#stream = stream;
    this.#share = share;
    this.#reader = new PacketReader(this, connectBytesMax);
    this.#outbox = new Outbox(stream, share.outboxes);
    this.#acceptedMs = share.clock.monotonicMs();
    this.#heardMs = this.#acceptedMs;
  }

  /** Undefined before the client was admitted. */
  get clientId(): string | undefined {
    return this.#admitted?.session.clientId;
  }

  get principal(): Principal | undefined {
    return this.#admitted?.principal;
  }

  /** Wall time of the CONNACK. */
  get connectedAtMs(): number {
    return this.#admitted?.connectedAtMs ?? 0;
  }

  onData(chunk: Buffer, length: number): void {
    this.#heard = true;
    this.#reader.feed(chunk, length);
  }

  onDrain(): void {
    if (this.#state === 'ended') return;
    this.#heard = true;
    this.#outbox.drained();
    this.#admitted?.session.pump();
    if (!this.#outbox.isOverBound) this.#unhold(holdOutput);
  }

  onClose(error?: Error): void {
    this.end('connection-lost', error?.message);
    this.#share.closed(this);
  }

  /** About once a second: every time-out of the connection. */
  sweep(monotonicMs: number, wallMs: number): void {
    if (this.#state === 'ended') {
      if (monotonicMs - this.#endedMs >= brokerLingerMsMax) this.#stream.destroy();
      return;
    }
    if (this.#heard || (this.#holds & holdService) !== 0) {
      this.#heard = false;
      this.#heardMs = monotonicMs;
    }
    const admitted = this.#admitted;
    if (admitted === undefined) {
      const { connectMsMax } = this.#share.limits;
      if (monotonicMs - this.#acceptedMs >= connectMsMax) this.end('connect-timeout');
      return;
    }
    // [MQTT-3.1.2-24]: one and a half times the keep-alive.
    if (admitted.keepAliveMs > 0 && monotonicMs - this.#heardMs >= keepAliveShare * admitted.keepAliveMs) {
      this.end('keep-alive-timeout');
    } else if (admitted.expiresAtMs !== undefined && wallMs >= admitted.expiresAtMs) {
      this.end('credentials-expired');
    } else {
      admitted.session.pump();
    }
  }

  problem(problem: ProtocolProblem | 'input-overrun'): void {
    this.end(problem);
  }

  run(buffer: Buffer, at: number, end: number): number {
    return this.#admitted?.publisher.run(buffer, at, end) ?? at;
  }

  packet(buffer: Buffer, range: PacketRange): void {
    const admitted = this.#admitted;
    if (admitted === undefined) {
      this.#connect(Buffer.from(buffer.subarray(range.at, range.end)), range.bodyAt - range.at);
      return;
    }
    const firstByte = buffer[range.at] as number;
    const type = firstByte >> typeShift;
    switch (type) {
      case packetType.publish:
        admitted.publisher.publish(buffer, range);
        break;
      case packetType.puback:
      case packetType.pubrec:
      case packetType.pubrel:
      case packetType.pubcomp:
        this.#acknowledgement(buffer, range, admitted);
        break;
      case packetType.subscribe:
      case packetType.unsubscribe:
        this.#subscription(buffer.subarray(range.at, range.end), admitted);
        break;
      case packetType.pingreq:
      case packetType.disconnect:
        this.#empty(type, firstByte & flagsMask, range);
        break;
      default:
        this.end('unexpected-packet', `packet type ${type}`); // a second CONNECT too [MQTT-3.1.0-2]
    }
    if (this.#outbox.isOverBound) this.#hold(holdOutput);
  }

  /** Ends the connection: once, with its first reason. */
  end(reason: EndReason, detail?: string): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#endedMs = this.#share.clock.monotonicMs();
    this.#reader.stop();
    this.#outbox.flush();
    this.#outbox.close();
    if (reason === 'connection-lost') {
      this.#stream.destroy();
    } else {
      // Read on, into nothing: a reset would take our last bytes from the peer.
      this.#stream.resume();
      this.#stream.end();
    }
    this.#share.traffic.ended(reason);
    this.#logEnd(reason, detail);
    if (this.#admitted !== undefined) this.#leave(this.#admitted, reason);
  }

  #leave(admitted: Admitted, reason: EndReason): void {
    const { service, sessions } = this.#share;
    admitted.publisher.close();
    this.#share.left(this, admitted.session.clientId);
    sessions.leave(admitted.session, this.#share.clock.monotonicMs());
    admitted.client.gone();
    // A client that took its leave has no will [MQTT-3.14.4-3]; neither has anybody when the broker closes.
    if (admitted.will !== undefined && reason !== 'client-disconnect' && reason !== 'closing') {
      publishWill(admitted.will, admitted.client, this.#share);
    }
    service?.disconnected(admitted.client);
  }

  #connect(bytes: Buffer, bodyAt: number): void {
    const handshake = readConnect(bytes, bodyAt);
    if (!handshake.ok) {
      this.#refuse(handshake.reason, { detail: handshake.detail, reply: handshake.reply });
      return;
    }
    this.#state = 'authenticating';
    this.#hold(holdAuthentication);
    this.#share.track(this.#authenticate(handshake.request));
  }

  async #authenticate(request: ConnectRequest): Promise<void> {
    const { authoriser, sessions, exchange } = this.#share;
    const clientId = request.clientId === '' ? sessions.assignClientId() : request.clientId;
    const admission = await this.#admission(clientId, request);
    if (this.#state !== 'authenticating') return;
    if (!admission.admitted) {
      this.#refuse(admission.reason, { detail: admission.detail, reply: connack(connackCode[admission.reason]) });
      return;
    }
    const { principal, expiresAtMs } = admission;
    const route = request.will === undefined ? undefined : exchange.route(request.will.topic);
    if (route?.owned === false && !authoriser.mayPublish(principal, route.topic)) {
      const reply = connack(connackCode['not-authorized']);
      this.#refuse('not-authorized', { detail: `will topic ${route.topic}`, reply });
      return;
    }
    this.#open(clientId, request, { principal, expiresAtMs });
  }

  /** A failing authenticator admits nobody, and the client may try again. */
  async #admission(clientId: string, { username, password }: ConnectRequest): Promise<Admission> {
    const { authenticator, log } = this.#share;
    const { remote, peer } = this.#stream;
    try {
      return await authenticator.authenticate({ clientId, username, password, listener: this.#listener, remote, peer });
    } catch (error) {
      log.error('authentication failed', { client: clientId, reason: errorMessage(error) });
      return { admitted: false, reason: 'unavailable', detail: errorMessage(error) };
    }
  }

  #open(
    clientId: string,
    request: ConnectRequest,
    { principal, expiresAtMs }: { readonly principal: Principal; readonly expiresAtMs: number | undefined },
  ): void {
    const { clock, sessions, service, traffic, log } = this.#share;
    this.#share.entered(this, clientId);
    const { session, present } = sessions.open(clientId, principal, {
      cleanStart: request.clean,
      expirySeconds: request.clean ? 0 : neverExpires,
      wire: wire311,
    });
    const connection = {
      session,
      outbox: this.#outbox,
      disconnect: (reason: string) => this.end('disconnected', reason),
    };
    const client = new ConnectedClient(connection, principal);
    const { keepAliveMs, will } = request;
    const publisher = this.#publisher({ session, client, principal });
    const connectedAtMs = clock.wallMs();
    this.#admitted = { session, client, publisher, principal, keepAliveMs, expiresAtMs, will, connectedAtMs };
    this.#state = 'open';
    this.#reader.packetBytesMax = packetBytesMax;
    traffic.connected();
    log.info('client connected', {
      client: clientId,
      principal: principal.name,
      remote: this.remote,
      listener: this.#listener,
      clean: request.clean,
      present,
    });
    const answer = connack(connackCode.accepted, present);
    this.#outbox.append(answer, 0, answer.length);
    session.attach(this.#outbox, wire311);
    const owned = [...session.subscriptions].filter(([, grant]) => grant.owned).map(([filter]) => filter);
    service?.connected(client, owned);
    this.#unhold(holdAuthentication);
  }

  #publisher(source: PublishSource): Publisher {
    const connection = {
      isOpen: () => this.#state === 'open',
      ack: (type: number, packetId: number) => this.#outbox.ack(type, packetId),
      hold: () => this.#hold(holdService),
      release: () => this.#unhold(holdService),
      end: (reason: EndReason, detail?: string) => this.end(reason, detail),
    };
    return new Publisher(source, connection, this.#share);
  }

  #refuse(reason: EndReason, { detail, reply }: { readonly detail: string; readonly reply: Buffer | undefined }): void {
    if (reply !== undefined) this.#outbox.append(reply, 0, reply.length);
    this.end(reason, detail);
  }

  #acknowledgement(buffer: Buffer, { at, bodyAt, end }: PacketRange, { session }: Admitted): void {
    const firstByte = buffer[at] as number;
    const type = firstByte >> typeShift;
    if ((firstByte & flagsMask) !== (type === packetType.pubrel ? pubrelFlags : 0) || end - bodyAt !== ackRestBytes) {
      this.end('malformed-packet', `packet type ${type}`);
      return;
    }
    const packetId = readUint16(buffer, bodyAt);
    if (packetId === 0) {
      this.end('invalid-packet-id', `packet type ${type}`);
    } else if (type === packetType.pubrel) {
      session.release(packetId);
      this.#outbox.ack(packetType.pubcomp, packetId);
    } else {
      session.acknowledged(type, packetId);
      if (type === packetType.pubrec) this.#outbox.ack(packetType.pubrel, packetId);
    }
  }

  #empty(type: number, flags: number, { bodyAt, end }: PacketRange): void {
    if (flags !== 0 || end !== bodyAt) this.end('malformed-packet', `packet type ${type}`);
    else if (type === packetType.disconnect) this.end('client-disconnect');
    else this.#outbox.append(pingresp, 0, pingresp.length);
  }

  #subscription(bytes: Buffer, admitted: Admitted): void {
    const decoded = decodePacket(bytes);
    if (!decoded.ok) {
      this.end('malformed-packet', decoded.detail);
    } else if (decoded.packet.cmd === 'subscribe') {
      const { messageId = 0, subscriptions } = decoded.packet;
      const invalid = subscriptions.find((wanted) => !isValidTopicFilter(wanted.topic));
      if (invalid !== undefined) {
        this.end('malformed-filter', invalid.topic);
        return;
      }
      const granted = subscribe(subscriptions, admitted, this.#share);
      if (this.#state !== 'open') return;
      const answer = encodePacket({ cmd: 'suback', messageId, granted: [...granted] });
      this.#outbox.append(answer, 0, answer.length);
      replayRetained(subscriptions, admitted, this.#share);
    } else if (decoded.packet.cmd === 'unsubscribe') {
      unsubscribe(decoded.packet.unsubscriptions, admitted, this.#share);
      if (this.#state === 'open') this.#outbox.ack(packetType.unsuback, decoded.packet.messageId ?? 0);
    }
  }

  #hold(reason: number): void {
    if (this.#state === 'ended') return;
    if (this.#holds === 0) {
      this.#reader.hold();
      this.#stream.pause();
    }
    this.#holds |= reason;
  }

  #unhold(reason: number): void {
    if ((this.#holds & reason) === 0) return;
    this.#holds &= ~reason;
    if (this.#holds === 0 && this.#reader.release()) this.#stream.resume();
  }

  #logEnd(reason: EndReason, detail: string | undefined): void {
    const { log } = this.#share;
    const fields = { client: this.clientId, remote: this.remote, listener: this.#listener, reason, detail };
    const ordinary = reason === 'client-disconnect' || reason === 'connection-lost' || reason === 'closing';
    if (ordinary) log.info('client disconnected', fields);
    else log.warn('connection closed', fields);
  }
}
