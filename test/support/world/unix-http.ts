// One HTTP request over a unix socket, as curl --unix-socket makes it: faster than a command line each time.

import { type IncomingMessage, request } from 'node:http';
import { createInterface } from 'node:readline';

export interface SocketAnswer {
  readonly status: number;
  readonly body: string;
}

/** The lines of an answer as they come. Throws when it is not 200. */
export async function* socketLines({
  socketPath,
  path,
}: {
  readonly socketPath: string;
  readonly path: string;
}): AsyncGenerator<string, void, undefined> {
  const incoming = await new Promise<IncomingMessage>((resolve, reject) => {
    request({ socketPath, method: 'GET', path, agent: false }, resolve).once('error', reject).end();
  });
  for await (const line of createInterface({ input: incoming, crlfDelay: Number.POSITIVE_INFINITY })) {
    if (incoming.statusCode !== 200) throw new TypeError(`${path} was answered ${incoming.statusCode}: ${line}`);
    yield line;
  }
}

export function socketCall({
  socketPath,
  method,
  path,
  body,
}: {
  readonly socketPath: string;
  readonly method: string;
  readonly path: string;
  readonly body?: string | undefined;
}): Promise<SocketAnswer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, method, path, agent: false }, (incoming) => {
      let text = '';
      incoming.setEncoding('utf8');
      incoming.on('data', (piece: string) => {
        text += piece;
      });
      incoming.once('end', () => resolve({ status: incoming.statusCode ?? 0, body: text }));
      incoming.once('error', reject);
    });
    outgoing.once('error', reject);
    outgoing.end(body);
  });
}
