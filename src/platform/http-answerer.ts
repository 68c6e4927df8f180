// HTTP/1.1 on connections that somebody else accepted: beside MQTT over WebSocket on one port (ListenLayers.http).
//
//   Connection ─► ConnectionStream ─► Node's HTTP parser ─► handler
//
// Connections stay for further requests. Bounded in number (policy when full: the newcomer is closed) and in time: a
// request must be whole within requestMsMax of the connection or of the last answer; how long an answer takes is the
// handler's business.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { answer, type HttpHandler } from './http.ts';
import type { Connection, ConnectionSink } from './net.ts';
import { ConnectionStream } from './transport/connection-stream.ts';

export interface HttpAnswererOptions {
  readonly handler: HttpHandler;
  readonly bodyBytesMax: number;
  readonly connectionsMax: number;
  readonly requestMsMax: number;
}

const closed: ConnectionSink = { onData: () => undefined, onDrain: () => undefined, onClose: () => undefined };

export class HttpAnswerer {
  readonly #options: HttpAnswererOptions;
  readonly #server = createServer((incoming, outgoing) => this.#answer(incoming, outgoing));
  readonly #deadlines = new Map<unknown, NodeJS.Timeout>();
  #closed = false;

  constructor(options: HttpAnswererOptions) {
    this.#options = options;
  }

  /** Takes over the connection, whose bytes go to the result from now on. */
  take(connection: Connection): ConnectionSink {
    if (this.#closed || this.#deadlines.size >= this.#options.connectionsMax) {
      connection.destroy();
      return closed;
    }
    const stream = new ConnectionStream(connection);
    stream.on('error', () => undefined);
    stream.once('close', () => {
      clearTimeout(this.#deadlines.get(stream));
      this.#deadlines.delete(stream);
    });
    this.#arm(stream);
    this.#server.emit('connection', stream);
    return stream;
  }

  /** Ends all connections; handlers see their signal. */
  close(): void {
    this.#closed = true;
    for (const stream of [...this.#deadlines.keys()]) (stream as ConnectionStream).destroy();
  }

  #answer(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const stream: unknown = incoming.socket;
    const { handler, bodyBytesMax } = this.#options;
    outgoing.once('finish', () => this.#arm(stream));
    const whole: HttpHandler = (request) => {
      clearTimeout(this.#deadlines.get(stream));
      return handler(request);
    };
    void answer(incoming, outgoing, { handler: whole, bodyBytesMax, peer: undefined });
  }

  #arm(stream: unknown): void {
    if (stream instanceof ConnectionStream && stream.destroyed) return;
    clearTimeout(this.#deadlines.get(stream));
    const timer = setTimeout(() => (stream as ConnectionStream).destroy(), this.#options.requestMsMax);
    timer.unref();
    this.#deadlines.set(stream, timer);
  }
}
