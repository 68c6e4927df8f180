// The unix sockets of one module: on one it asks for signatures and certificates; on another, which only few are
// given, it manages what it may.
//
// Who calls is known by the socket: each module is given the path of its own, in a directory of its own, which a
// container sees and no other module's container does. The socket itself is open to all, since modules run as other
// users than the runtime; so the process at the other end is asked for as well (caller-check.ts), where it can be.
//
// Sockets come and go with modules; after a restart of the runtime they are opened again at the same paths, and
// the modules, which kept running, never notice. Changes happen one after the other.

import { managementRequestsMax, workloadRequestsPerModuleMax } from '../limits.ts';
import type { Http, HttpServer } from '../platform/http.ts';
import type { Log } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { PeerCredentials } from '../platform/net.ts';
import { answerManagement } from './management-api.ts';
import type { ManagedGateway, PeerVerdict, WorkloadCertificates, WorkloadKeys } from './ports.ts';
import { serveSocket } from './served-socket.ts';
import { answerWorkload, type WorkloadModule } from './workload-api.ts';

export interface WorkloadPorts {
  readonly http: Http;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly keys: WorkloadKeys;
  readonly certificates: WorkloadCertificates;
  /** What management tells of; asked with each request, because there is nothing to tell while the gateway starts. */
  readonly gateway?: (() => ManagedGateway | undefined) | undefined;
  /** Whether the process at the other end is the module. Absent: the socket's place decides. Never rejects. */
  readonly mayUse?: ((moduleId: string, peer: PeerCredentials) => Promise<PeerVerdict>) | undefined;
}

export interface WorkloadOptions {
  readonly hubHostname: string;
  readonly deviceId: string;
}

/** Their directories exist. */
export interface SocketPaths {
  readonly workload: string;
  /** Absent: this module does not manage. */
  readonly management?: string | undefined;
}

interface OpenSockets {
  readonly generationId: string;
  readonly paths: SocketPaths;
  readonly servers: readonly HttpServer[];
}

const everyoneMode = 0o666;

export class WorkloadSockets {
  readonly #ports: WorkloadPorts;
  readonly #options: WorkloadOptions;
  readonly #sockets = new Map<string, OpenSockets>();
  #lastChange: Promise<unknown> = Promise.resolve();

  constructor(ports: WorkloadPorts, options: WorkloadOptions) {
    this.#ports = { ...ports, log: ports.log.child('workload') };
    this.#options = options;
  }

  /**
   * Serves the module. Again for the same module replaces its sockets when anything differs. Rejects
   * WORKLOAD_PATH_TOO_LONG, PLATFORM_LISTEN_FAILED.
   */
  open(module: WorkloadModule, paths: SocketPaths): Promise<void> {
    return this.#change(async () => {
      const before = this.#sockets.get(module.moduleId);
      const isSame = before?.paths.workload === paths.workload && before.paths.management === paths.management;
      if (isSame && before.generationId === module.generationId) return;
      await this.#end(module.moduleId);
      const servers = [await this.#serveWorkload(module, paths.workload)];
      this.#sockets.set(module.moduleId, { generationId: module.generationId, paths, servers });
      if (paths.management !== undefined) servers.push(await this.#serveManagement(module, paths.management));
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

  #serveWorkload(module: WorkloadModule, path: string): Promise<HttpServer> {
    const { keys, certificates } = this.#ports;
    return serveSocket(this.#ports, {
      ...this.#frame(module, path),
      requestsMax: workloadRequestsPerModuleMax,
      answer: (request) => answerWorkload(request, { module, keys, certificates, ...this.#options }),
    });
  }

  #serveManagement(module: WorkloadModule, path: string): Promise<HttpServer> {
    return serveSocket(this.#ports, {
      ...this.#frame(module, path),
      requestsMax: managementRequestsMax,
      answer: (request) => answerManagement(request, this.#ports.gateway?.()),
    });
  }

  #frame({ moduleId }: WorkloadModule, path: string) {
    const { mayUse } = this.#ports;
    return {
      path,
      mode: everyoneMode,
      owner: moduleId,
      mayUse: mayUse && ((peer: PeerCredentials) => mayUse(moduleId, peer)),
    };
  }

  #change(work: () => Promise<void>): Promise<void> {
    const done = this.#lastChange.then(work);
    this.#lastChange = done.catch(() => undefined);
    return done;
  }

  async #end(moduleId: string): Promise<void> {
    const sockets = this.#sockets.get(moduleId);
    this.#sockets.delete(moduleId);
    await Promise.all((sockets?.servers ?? []).map((server) => server.close()));
  }
}
