// The door of containers/: modules that are OCI containers, run by podman or Docker behind its socket; their images,
// logs and health.

export { ModuleContainers } from './module-containers.ts';
export type { ContainersMemory, ContainersOptions, ContainersPorts, NetworkOptions } from './ports.ts';
