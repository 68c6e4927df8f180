// One network connection: from its first byte to its last.
//
//              CONNECT            admitted
//   expecting ─────────► authenticating ─────────► open ──────────► ended ──► closed by the peer, or destroyed
//       │ time-out, nonsense   │ refused             │ DISCONNECT, loss, time-out, takeover,      after lingerMs
//       └──────────────────────┴─────────────────────┘ protocol error, service rejection …
//
// Owns the state, the time-outs, when reading is held, and why it ends. Bytes are packet-reader.ts, the way from
// CONNECT to CONNACK is entrance.ts, what is said afterwards conversation.ts, the last word farewell.ts, memory
// beyond the connection session.ts.
//
// Invariants
//   Reading is held while the client is authenticated, while inflightInboundMax publishes are unsettled, while the
//   client does not take its own output, while it is over its rate, and while the session store has no room for what
//   it publishes: nothing grows without bound, whoever is slow.
//   Whatever a client sends ends at most its own connection, with one reason, counted and logged once.

import type { Buffer } from 'node:buffer';
import { brokerLingerMsMax, connectBytesMax, packetBytesMax } from '../limits.ts';
import type { Connection, ConnectionSink, PeerCertificate, PeerCredentials } from '../platform/net.ts';
import type { ProtocolProblem } from '../protocol/mqtt/errors.ts';
import { plainPublishByte } from '../protocol/mqtt/publish.ts';
import type { ClientWire } from './client-wire.ts';
import { acceptance, type Granted } from './connack.ts';
import type { ConnectionShare } from './connection-share.ts';
import { Conversation, holding } from './conversation.ts';
import { type Admittance, Entrance } from './entrance.ts';
import type { EndReason } from './errors.ts';
import { disconnection, refusal } from './farewell.ts';
import { type ConnectRequest, readConnect } from './handshake.ts';
import { Outbox } from './outbox.ts';
import { type PacketRange, PacketReader, type PacketSink } from './packet-reader.ts';
import type { Principal } from './ports.ts';
import type { HoldReason } from './traffic.ts';
import { storedWill } from './will.ts';

/** Held for something of ours: the client's silence is not its own. */
const holdsOurs = holding.service | holding.rate | holding.store;
/** How holds are counted; authentication is not: everybody waits for it once. */
const holdReasons: Readonly<Record<number, HoldReason>> = {
  [holding.service]: 'unsettled',
  [holding.output]: 'output',
  [holding.rate]: 'rate',
  [holding.store]: 'store',
};
const keepAliveShare = 1.5;
const millisecondsPerSecond = 1000;

export class ClientConnection implements ConnectionSink, PacketSink {
  /** Its name. */
  readonly listener: string;
  readonly outbox: Outbox;
  readonly #stream: Connection;
  readonly #share: ConnectionShare;
  readonly #reader: PacketReader;
  readonly #acceptedMs: number;
  #state: 'expecting' | 'authenticating' | 'open' | 'ended' = 'expecting';
  /** What the client can take; undefined before a CONNECT told. */
  #wire: ClientWire | undefined;
  /** While it is not admitted. */
  #entrance: Entrance | undefined;
  /** Since it was admitted. */
  #conversation: Conversation | undefined;
  #holds = 0;
  /** Something came since the last sweep: cheaper than a clock reading per read. */
  #heard = false;
  #heardMs: number;
  #endedMs = 0;

  constructor(stream: Connection, listener: string, share: ConnectionShare) {
    this.listener = listener;
    this.#stream = stream;
    this.#share = share;
    this.#reader = new PacketReader(this, share.outboxes.pool, connectBytesMax);
    this.outbox = new Outbox(stream, share.outboxes);
    this.#acceptedMs = share.clock.monotonicMs();
    this.#heardMs = this.#acceptedMs;
  }

  /** Undefined before the client was admitted. */
  get clientId(): string | undefined {
    return this.#conversation?.session.clientId;
  }

  get principal(): Principal | undefined {
    return this.#conversation?.principal;
  }

  get remote(): string {
    return this.#stream.remote;
  }

  get peer(): PeerCredentials | undefined {
    return this.#stream.peer;
  }

  get certificate(): PeerCertificate | undefined {
    return this.#stream.certificate;
  }

  /** Wall time of the admission. */
  get connectedAtMs(): number {
    return this.#conversation?.connectedAtMs ?? 0;
  }

  get isAuthenticating(): boolean {
    return this.#state === 'authenticating';
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  onData(chunk: Buffer, length: number): void {
    this.#heard = true;
    this.#share.received.bytes += length;
    this.#reader.feed(chunk, length);
  }

  onDrain(): void {
    if (this.#state === 'ended') return;
    this.#heard = true;
    this.outbox.drained();
    this.#conversation?.session.pump();
    if (!this.outbox.isOverBound) this.release(holding.output);
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
    if (this.#heard || (this.#holds & holdsOurs) !== 0) {
      this.#heard = false;
      this.#heardMs = monotonicMs;
    }
    const { connectMsMax, stalledMsMax } = this.#share.limits;
    const conversation = this.#conversation;
    if (conversation === undefined || this.#state !== 'open') {
      if (monotonicMs - this.#acceptedMs >= connectMsMax) this.end('connect-timeout');
      return;
    }
    const { keepAliveMs, expiresAtMs, session } = conversation;
    // One and a half times the keep-alive: [MQTT-3.1.2-24] of 3.1.1, [MQTT-3.1.2-22] of 5.0.
    if (keepAliveMs > 0 && monotonicMs - this.#heardMs >= keepAliveShare * keepAliveMs) {
      this.end('keep-alive-timeout');
    } else if (expiresAtMs !== undefined && wallMs >= expiresAtMs) {
      this.end('credentials-expired');
    } else if (this.outbox.stalledMs(monotonicMs) >= stalledMsMax) {
      this.end('slow-client', 'it has taken nothing for too long while there was too much for it');
    } else {
      session.pump();
    }
  }

  problem(problem: ProtocolProblem | 'input-overrun'): void {
    this.end(problem);
  }

  run(buffer: Buffer, at: number, end: number): number {
    const next = this.#conversation?.run(buffer, at, end) ?? at;
    if (next > at && buffer[at] !== plainPublishByte && this.outbox.isOverBound) this.hold(holding.output);
    return next;
  }

  packet(buffer: Buffer, range: PacketRange): void {
    this.#share.received.packets++;
    if (this.#conversation === undefined) this.#enter(buffer.subarray(range.at, range.end), range);
    else this.#conversation.packet(buffer, range);
    if (this.outbox.isOverBound) this.hold(holding.output);
  }

  /** Ends the connection: once, with its first reason, and with a last word where the version has one. */
  end(reason: EndReason, detail?: string): void {
    if (this.#state === 'ended') return;
    if (this.#wire !== undefined) {
      const farewell = { reason, detail };
      const word = this.#state === 'open' ? disconnection(this.#wire, farewell) : refusal(this.#wire, farewell);
      if (word !== undefined) this.send(word);
    }
    const wasOpen = this.#state === 'open';
    this.#state = 'ended';
    this.#endedMs = this.#share.clock.monotonicMs();
    this.#reader.stop();
    this.outbox.flush();
    this.outbox.close();
    // Before the stream ends: it knows its peer no longer.
    this.#logEnd(reason, detail);
    if (reason === 'connection-lost') {
      this.#stream.destroy();
    } else {
      // Read on, into nothing: a reset would take our last bytes from the peer.
      this.#stream.resume();
      this.#stream.end(reason === 'client-disconnect' || reason === 'client-disconnect-with-will');
    }
    this.#share.traffic.ended(reason);
    if (this.#conversation !== undefined) this.#leave(this.#conversation, { reason, wasOpen });
  }

  /** Stops reading until release() with the same bit of `holding`. */
  hold(reason: number): void {
    if (this.#state === 'ended') return;
    if (this.#holds === 0) {
      this.#reader.hold();
      this.#stream.pause();
    }
    const told = (this.#holds & reason) === 0 ? holdReasons[reason] : undefined;
    if (told !== undefined) this.#share.traffic.held(told);
    this.#holds |= reason;
  }

  release(reason: number): void {
    if ((this.#holds & reason) === 0) return;
    this.#holds &= ~reason;
    if (this.#holds === 0 && this.#reader.release()) this.#stream.resume();
  }

  keepPacket(): void {
    if (this.#state === 'ended') return;
    this.#share.received.packets--;
    this.#reader.keepPacket();
  }

  send(bytes: Buffer): void {
    if (this.#state !== 'ended') this.outbox.append(bytes, 0, bytes.length);
  }

  /** The client may enter: opens its session, and answers when that is on stable storage. */
  admit(request: ConnectRequest, admittance: Admittance): void {
    const { sessions, policy, wills, exchange, limits } = this.#share;
    const { clientId, principal, data } = admittance;
    const { wire, will, cleanStart } = request;
    if (will !== undefined && !wills.hasRoom(will)) {
      this.end('quota-exceeded', 'the wills of all clients together are too large');
      return;
    }
    const expirySeconds = Math.min(request.expirySeconds, policy.sessionExpirySecondsMax);
    const keepAliveSeconds = keepAliveOf(request, policy.keepAliveSecondsMax);
    this.#share.entered(this, clientId);
    const { session, present } = sessions.open(clientId, principal, { cleanStart, expirySeconds, wire });
    wills.forget(clientId);
    session.will = will === undefined || exchange.route(will.topic)?.owned === true ? undefined : storedWill(will);
    const keepAliveMs = keepAliveSeconds * millisecondsPerSecond;
    const conversation = new Conversation({ session, request, admittance, keepAliveMs }, this, this.#share);
    this.#conversation = conversation;
    if (will !== undefined) wills.entered(will);
    const { inflightInboundMax: receiveMaximum } = limits;
    const granted = { clientId, present, expirySeconds, keepAliveSeconds, receiveMaximum, data };
    if (!session.isStored) {
      this.#open(conversation, request, granted);
      return;
    }
    this.hold(holding.authentication);
    conversation.safe.after((safe) => {
      if (safe && this.#state === 'authenticating') this.#open(conversation, request, granted);
    });
  }

  #enter(bytes: Buffer, { at, bodyAt }: PacketRange): void {
    if (this.#entrance !== undefined) {
      this.#entrance.packet(bytes);
      return;
    }
    const handshake = readConnect(bytes, bodyAt - at);
    if (!handshake.ok) {
      this.#wire = handshake.wire;
      this.end(handshake.reason, handshake.detail);
      return;
    }
    this.#wire = handshake.request.wire;
    this.#state = 'authenticating';
    this.#entrance = new Entrance(handshake.request, this, this.#share);
    this.#entrance.start();
  }

  #open(conversation: Conversation, request: ConnectRequest, granted: Granted): void {
    const { session, client } = conversation;
    const { wire, cleanStart: clean } = request;
    const answer = acceptance(request, granted);
    const { service, traffic, exchange } = this.#share;
    if (answer.length > wire.packetBytesMax) {
      this.end('packet-too-large', 'the client takes no packet as large as its CONNACK'); // [MQTT-3.1.2-24]
      return;
    }
    this.#state = 'open';
    this.#entrance = undefined;
    this.#reader.packetBytesMax = packetBytesMax;
    traffic.connected();
    this.send(answer);
    session.attach(this.outbox, wire);
    if (granted.present) exchange.resume(session);
    this.#logStart(conversation, { clean, present: granted.present });
    if (service !== undefined) {
      const owned = [...session.subscriptions].filter(([, grant]) => grant.owned).map(([filter]) => filter);
      service.connected(client, owned);
    }
    this.release(holding.authentication);
  }

  #leave(
    conversation: Conversation,
    { reason, wasOpen }: { readonly reason: EndReason; readonly wasOpen: boolean },
  ): void {
    const { service, sessions, wills, clock } = this.#share;
    const { session, client } = conversation;
    conversation.close();
    if (conversation.will !== undefined) wills.left(conversation.will);
    this.#share.left(this, session.clientId);
    // A client that took its leave has no will [MQTT-3.14.4-3]; neither has one that never got its CONNACK.
    const will = reason === 'client-disconnect' || !wasOpen ? undefined : conversation.will;
    const { expirySeconds } = session;
    // Only one that waits stays with the session.
    if (will === undefined || will.delaySeconds === 0) session.will = undefined;
    sessions.leave(session, clock.monotonicMs());
    client.gone();
    if (will !== undefined) wills.leave(will, client, expirySeconds === 0 ? undefined : session);
    if (wasOpen) service?.disconnected(client);
  }

  #logStart(
    { principal }: Conversation,
    { clean, present }: { readonly clean: boolean; readonly present: boolean },
  ): void {
    if (!this.#share.log.writes('info')) return;
    const version = this.#wire?.version;
    const fields = { client: this.clientId ?? '', principal: principal.name, remote: this.remote };
    const { listener } = this;
    this.#share.clientLog.write('info', 'client connected', { ...fields, listener, version, clean, present });
  }

  #logEnd(reason: EndReason, detail: string | undefined): void {
    const { log, clientLog } = this.#share;
    const ordinary = reason === 'client-disconnect' || reason === 'connection-lost' || reason === 'closing';
    const message = ordinary ? 'client disconnected' : 'connection closed';
    const level = ordinary ? 'info' : 'warn';
    if (!log.writes(level)) return;
    const { clientId: client, remote, listener } = this;
    const fields = { remote, listener, reason, detail };
    // StoreRoom tells of all together.
    if (reason === 'store-full') log.debug(message, { client, ...fields });
    else if (client === undefined) log[level](message, fields);
    else clientLog.write(level, message, { client, ...fields });
  }
}

/** A 5.0 client that wants none, or a longer one than is granted, is told a server keep-alive [MQTT-3.2.2-21]. */
function keepAliveOf({ wire, keepAliveSeconds }: ConnectRequest, secondsMax: number): number {
  if (wire.version !== 5 || secondsMax === 0) return keepAliveSeconds;
  return keepAliveSeconds === 0 ? secondsMax : Math.min(keepAliveSeconds, secondsMax);
}
