// The door of workload/: the sockets on which modules prove who they are, and those that manage in Azure's words.

export type { KnownModule } from './caller.ts';
export { CallerCheck } from './caller-check.ts';
export { ManagementSocket } from './management-socket.ts';
export type {
  MachineReport,
  ManagedGateway,
  ManagedModule,
  WorkloadCertificates,
  WorkloadKeys,
} from './ports.ts';
export type { WorkloadModule } from './workload-api.ts';
export { type WorkloadOptions, type WorkloadPorts, WorkloadSockets } from './workload-sockets.ts';
