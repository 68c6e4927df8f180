// PUT to an address anywhere: how a file leaves this machine over HTTP or HTTPS.
//
// One connection a request. Certificates are checked against the authorities that are given, read anew each time: they
// may have been renewed. Nobody who answers slowly holds a caller for ever: silence of `webIdleMsMax` ends the attempt.

import { request as sendPlain } from 'node:http';
import { request as sendSecure } from 'node:https';
import { errorCode, WeirError } from '../model/errors.ts';

export interface WebUpload {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  readonly signal: AbortSignal;
}

export interface WebPut {
  /** Rejects PLATFORM_WEB_FAILED when nobody answers. */
  put(upload: WebUpload): Promise<{ readonly status: number; readonly text: string }>;
}

const webIdleMsMax = 60_000;
/** Of an answer's body; what comes behind is not kept. */
const textCharactersMax = 4_096;

/** `authorities`: who may vouch for a server; PEM. */
export function systemWebPut({ authorities }: { readonly authorities: () => Promise<readonly string[]> }): WebPut {
  return {
    put: async ({ url, headers, body, signal }) => {
      const target = new URL(url);
      const isSecure = target.protocol === 'https:';
      const trust = isSecure ? { ca: [...(await authorities())] } : {};
      return await new Promise((resolve, reject) => {
        const fail = (cause: unknown): void => reject(failure(target, cause));
        const send = isSecure ? sendSecure : sendPlain;
        const outgoing = send(
          target,
          { method: 'PUT', agent: false, signal, headers: { ...headers, 'content-length': body.length }, ...trust },
          (incoming) => {
            let text = '';
            incoming.setEncoding('utf8');
            incoming.on('data', (piece: string) => {
              if (text.length < textCharactersMax) text += piece;
            });
            incoming.on('error', fail);
            incoming.on('end', () =>
              resolve({ status: incoming.statusCode ?? 0, text: text.slice(0, textCharactersMax) }),
            );
          },
        );
        outgoing.setTimeout(webIdleMsMax, () => outgoing.destroy(new TypeError(`no answer within ${webIdleMsMax} ms`)));
        outgoing.on('error', fail);
        outgoing.end(body);
      });
    },
  };
}

/** The query is left out: it may be a secret. */
function failure({ protocol, host }: URL, cause: unknown): WeirError {
  const reason = cause instanceof Error && cause.message !== '' ? cause.message : errorCode(cause);
  return new WeirError({
    code: 'PLATFORM_WEB_FAILED',
    message: `No answer from ${protocol}//${host}: ${reason}.`,
    fields: { host, errno: errorCode(cause) },
    retryable: true,
    cause,
  });
}
