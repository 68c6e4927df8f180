// A unix socket with an API on it: who may call, how many requests at a time, and what an error looks like.
//
// Owns what the workload and the management sockets share. Every failure becomes {"message": …} with the status that
// the error carries; an error that carries none is ours, is 500 and says nothing about itself. Refusals are counted by
// their code, and so are requests of callers that the machine does not tell apart (`weir_workload_callers_unknown`).

import { unixPathBytesMax, workloadBodyBytesMax, workloadConnectionsMax } from '../limits.ts';
import { errorCode, errorMessage, WeirError } from '../model/errors.ts';
import type { Http, HttpRequest, HttpResponse, HttpServer } from '../platform/http.ts';
import type { Log } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';
import { busyError, pathTooLongError, strangerError } from './errors.ts';
import type { PeerCheck } from './ports.ts';

export interface ServedSocketPorts {
  readonly http: Http;
  readonly log: Log;
  readonly metrics: Metrics;
}

export interface ServedSocketOptions {
  readonly path: string;
  readonly mode: number;
  /** The module whose socket it is; undefined: the operators'. */
  readonly owner: string | undefined;
  readonly requestsMax: number;
  /** Absent: the place of the socket decides. */
  readonly mayUse: PeerCheck | undefined;
  readonly answer: (request: HttpRequest) => Promise<HttpResponse>;
}

const statusInternal = 500;

/** Rejects WORKLOAD_PATH_TOO_LONG, PLATFORM_LISTEN_FAILED. */
export async function serveSocket(ports: ServedSocketPorts, options: ServedSocketOptions): Promise<HttpServer> {
  const { path, mode, requestsMax } = options;
  // Checked here because libuv cuts a longer path silently and binds another one.
  if (Buffer.byteLength(path) > unixPathBytesMax) throw pathTooLongError(path, unixPathBytesMax);
  let underWay = 0;
  return ports.http.serve({
    endpoint: { kind: 'unix', path, mode },
    bodyBytesMax: workloadBodyBytesMax,
    connectionsMax: workloadConnectionsMax,
    handler: async (request) => {
      underWay += 1;
      try {
        if (underWay > requestsMax) throw busyError(requestsMax);
        await checkCaller(request, ports, options);
        return await options.answer(request);
      } catch (error) {
        return refusal(error, ports, options);
      } finally {
        underWay -= 1;
      }
    },
  });
}

async function checkCaller(
  request: HttpRequest,
  { metrics }: ServedSocketPorts,
  { mayUse, owner }: ServedSocketOptions,
): Promise<void> {
  if (mayUse === undefined) return;
  const verdict = request.peer === undefined ? { ok: true, sure: false } : await mayUse(request.peer);
  if ('who' in verdict) throw strangerError(verdict.who, owner);
  if (!verdict.sure) metrics.counter('weir_workload_callers_unknown').add();
}

function refusal(error: unknown, { metrics, log }: ServedSocketPorts, { owner }: ServedSocketOptions): HttpResponse {
  const known = error instanceof WeirError;
  const found = known ? error.fields['status'] : undefined;
  const status = typeof found === 'number' ? found : statusInternal;
  metrics.counter('weir_workload_refused', { reason: errorCode(error) }).add();
  log[known ? 'warn' : 'error']('request refused', {
    module: owner ?? '',
    code: errorCode(error),
    reason: errorMessage(error),
  });
  return { status, body: JSON.stringify({ message: known ? errorMessage(error) : 'Internal error.' }) };
}
