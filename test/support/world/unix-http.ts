// One HTTP request over a unix socket, as curl --unix-socket makes it: faster than a command line each time.

import { request } from 'node:http';

export interface SocketAnswer {
  readonly status: number;
  readonly body: string;
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
