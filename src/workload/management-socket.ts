// The management socket of operators' tools (`iotedge -H unix:///run/weir/mgmt.sock list`), beside weir's own admin socket.
//
// Owner, group and mode (0660) decide who may connect, as for the admin socket; modules that run as weir's own user
// could connect as well and are turned away by what they are (caller-check.ts). A module that is to manage has a socket
// of its own (workload-sockets.ts).

import { managementRequestsMax } from '../limits.ts';
import type { HttpServer } from '../platform/http.ts';
import { answerManagement } from './management-api.ts';
import type { ManagedGateway, PeerCheck } from './ports.ts';
import { type ServedSocketPorts, serveSocket } from './served-socket.ts';

export interface ManagementSocketPorts extends ServedSocketPorts {
  readonly gateway: ManagedGateway;
  /** Absent: the socket's mode decides. */
  readonly isOperator?: PeerCheck | undefined;
}

/** Owner and group. */
const socketMode = 0o660;

export class ManagementSocket {
  readonly #ports: ManagementSocketPorts;
  readonly #path: string;
  #server: HttpServer | undefined;

  constructor(ports: ManagementSocketPorts, options: { readonly socketPath: string }) {
    this.#ports = { ...ports, log: ports.log.child('management') };
    this.#path = options.socketPath;
  }

  /** Rejects WORKLOAD_PATH_TOO_LONG, PLATFORM_LISTEN_FAILED. */
  async start(): Promise<void> {
    const { gateway, isOperator } = this.#ports;
    this.#server ??= await serveSocket(this.#ports, {
      path: this.#path,
      mode: socketMode,
      owner: undefined,
      requestsMax: managementRequestsMax,
      mayUse: isOperator,
      answer: (request) => answerManagement(request, gateway),
    });
  }

  /** Ends streamed logs, too. */
  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await server?.close();
  }
}
