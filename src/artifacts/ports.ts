// What artefacts need from outside: the machine's files, archives and requests, time, and somebody who logs.

import type { Archives } from '../platform/archive/archive.ts';
import type { Clock } from '../platform/clock.ts';
import type { Disk } from '../platform/disk.ts';
import type { Downloads } from '../platform/download.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { HashedFiles } from '../platform/hashed-file.ts';
import type { Log } from '../platform/log.ts';
import type { Trees } from '../platform/tree.ts';

export interface ArtifactPorts {
  readonly downloads: Downloads;
  readonly archives: Archives;
  readonly hashedFiles: HashedFiles;
  readonly trees: Trees;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly log: Log;
}

/** What a deployment says of an artefact. */
export interface ArtifactSource {
  /** `https://…` or `file:///…` */
  readonly url: string;
  /** Of the file itself, 64 hexadecimal digits. */
  readonly sha256: string;
  readonly sizeBytes: number;
}

export interface InstalledArtifact {
  readonly directory: string;
  /** Path of the single file when the source is no archive. */
  readonly file?: string;
  readonly installedBytes: number;
}

/** Says how far it is, for people: `downloading app.tar.gz: 40 %`. */
export type Told = (progress: string) => void;
