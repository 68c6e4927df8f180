// One unix socket per module, on which it asks for signatures and certificates.
//
// Who calls is known by the socket: each module is given the path of its own, in a directory only it may enter,
// so the socket itself is open to all (modules run as other users than the runtime). Where the platform knows
// the peer's process, a PeerCheck is asked as well.
//
// Sockets come and go with modules; after a restart of the runtime they are opened again at the same paths, and
// the modules, which kept running, never notice. Changes happen one after the other.

import { unixPathBytesMax, workloadBodyBytesMax, workloadRequestsPerModuleMax } from '../limits.ts';
import { errorCode, errorMessage, WeirError } from '../model/errors.ts';
import type { Http, HttpRequest, HttpResponse, HttpServer } from '../platform/http.ts';
import type { Log } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';
import { busyError, forbiddenError, pathTooLongError } from './errors.ts';
import type { PeerCheck, WorkloadCertificates, WorkloadKeys } from './ports.ts';
import { answerWorkload, type WorkloadModule } from './workload-api.ts';

export interface WorkloadPorts {
  readonly http: Http;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly keys: WorkloadKeys;
  readonly certificates: WorkloadCertificates;
  readonly mayUse?: PeerCheck;
}

export interface WorkloadOptions {
  readonly hubHostname: string;
  readonly deviceId: string;
}

interface OpenSocket {
  readonly module: WorkloadModule;
  readonly socketPath: string;
  readonly server: HttpServer;
}

const socketMode = 0o666;
const statusInternal = 500;

export class WorkloadSockets {
  readonly #ports: WorkloadPorts;
  readonly #options: WorkloadOptions;
  readonly #log: Log;
  readonly #sockets = new Map<string, OpenSocket>();
  #lastChange: Promise<unknown> = Promise.resolve();

  constructor(ports: WorkloadPorts, options: WorkloadOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#log = ports.log.child('workload');
  }

  /**
   * Serves the module at `socketPath`, whose directory exists. Again for the same module replaces the socket
   * when anything differs. Rejects WORKLOAD_PATH_TOO_LONG, PLATFORM_LISTEN_FAILED.
   */
  open(module: WorkloadModule, socketPath: string): Promise<void> {
    return this.#change(async () => {
      const before = this.#sockets.get(module.moduleId);
      if (before?.socketPath === socketPath && before.module.generationId === module.generationId) return;
      // Checked here because libuv cuts a longer path silently and binds another one.
      if (Buffer.byteLength(socketPath) > unixPathBytesMax) throw pathTooLongError(socketPath, unixPathBytesMax);
      await this.#end(module.moduleId);
      let underWay = 0;
      const server = await this.#ports.http.serve({
        endpoint: { kind: 'unix', path: socketPath, mode: socketMode },
        bodyBytesMax: workloadBodyBytesMax,
        handler: async (request) => {
          underWay += 1;
          try {
            if (underWay > workloadRequestsPerModuleMax) throw busyError(workloadRequestsPerModuleMax);
            return await this.#answer(module, request);
          } catch (error) {
            return this.#refuse(module, error);
          } finally {
            underWay -= 1;
          }
        },
      });
      this.#sockets.set(module.moduleId, { module, socketPath, server });
    });
  }

  /** Silent when the module has no socket. */
  close(moduleId: string): Promise<void> {
    return this.#change(() => this.#end(moduleId));
  }

  closeAll(): Promise<void> {
    return this.#change(async () => {
      await Promise.all([...this.#sockets.keys()].map((moduleId) => this.#end(moduleId)));
    });
  }

  #change(work: () => Promise<void>): Promise<void> {
    const done = this.#lastChange.then(work);
    this.#lastChange = done.catch(() => undefined);
    return done;
  }

  async #end(moduleId: string): Promise<void> {
    const socket = this.#sockets.get(moduleId);
    this.#sockets.delete(moduleId);
    await socket?.server.close();
  }

  #answer(module: WorkloadModule, request: HttpRequest): Promise<HttpResponse> {
    const { mayUse, keys, certificates } = this.#ports;
    if (request.peer !== undefined && mayUse?.(module.moduleId, request.peer) === false) {
      throw forbiddenError(`a process (pid ${request.peer.pid}) that is not the module`, module.moduleId);
    }
    return answerWorkload(request, { module, keys, certificates, ...this.#options });
  }

  #refuse(module: WorkloadModule, error: unknown): HttpResponse {
    this.#ports.metrics.counter('weir_workload_refused', { reason: errorCode(error) }).add();
    const known = error instanceof WeirError;
    this.#log[known ? 'warn' : 'error']('request refused', {
      module: module.moduleId,
      code: errorCode(error),
      reason: errorMessage(error),
    });
    const status = known ? error.fields['status'] : undefined;
    return {
      status: typeof status === 'number' ? status : statusInternal,
      body: JSON.stringify({ message: known ? errorMessage(error) : 'Internal error.' }),
    };
  }
}
