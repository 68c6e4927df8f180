// The door of workload/: the sockets modules ask for signatures and certificates.

export type { PeerCheck, WorkloadCertificates, WorkloadKeys } from './ports.ts';
export type { WorkloadModule } from './workload-api.ts';
export { type WorkloadOptions, type WorkloadPorts, WorkloadSockets } from './workload-sockets.ts';
