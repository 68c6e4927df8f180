// Files of modules on this device: fetched, verified, installed side by side, removed when nobody needs them.

export { type ArtifactOptions, Artifacts } from './artifacts.ts';
export { ArtifactError, type ArtifactErrorCode } from './errors.ts';
export type { ArtifactPorts, ArtifactSource, InstalledArtifact } from './ports.ts';
