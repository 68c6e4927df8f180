// The supervisor: runs modules as processes behind their shims, restarts them at a measured pace, keeps their
// logs, and finds them again after the runtime itself was restarted or killed.

export type { Containers, LaunchSpec, ModuleObservation, RuntimeStatus, SupervisorPorts } from './ports.ts';
export { defaultPacing, type Pacing, type RestartPolicy } from './restart-policy.ts';
export { Supervisor } from './supervisor.ts';
