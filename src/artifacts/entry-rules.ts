// What of an archive may be unpacked, and as what: decided entry by entry, before anything is written.
//
// Refused: absolute paths, `..`, names through links or files, a name twice, devices and pipes, set-user-id and
// set-group-id, links that lead out. Refused as too large: more entries, bytes or path than limits.ts allows. One bad
// entry refuses the archive: it was made by mistake or by an enemy, and half of it is of no use.
//
// Invariants
//   A path that comes out is relative, has no `.` and no `..`, and its parents are directories that come out before.
//   Links come last, from links(), so that nothing was ever written through one.
//
// Modes: 0755 for directories and executables, 0644 for the rest. Who may write to a program's files is not the
// archive's to say.

import { artifactEntriesMax, artifactPathBytesMax, artifactPathLevelsMax, artifactPathsBytesMax } from '../limits.ts';
import type { EntryType } from '../platform/archive/archive.ts';
import { ArtifactError } from './errors.ts';

export interface EntryFacts {
  readonly path: string;
  readonly type: EntryType;
  readonly mode: number;
  readonly bytes: number;
  readonly linkTarget: string;
}

export type Step =
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'file'; readonly path: string; readonly mode: number }
  | { readonly kind: 'hard link'; readonly path: string; readonly existing: string };

export interface SymbolicLink {
  readonly path: string;
  readonly target: string;
}

const setIdBits = 0o6000;
const ownerExecutes = 0o100;
const executableMode = 0o755;
const plainMode = 0o644;
const nameBytesMax = 255;

export class EntryRules {
  readonly #shown: string;
  readonly #bytesMax: number;
  /** Every path that is taken, and as what. */
  readonly #taken = new Map<string, 'directory' | 'file' | 'link'>();
  readonly #links: SymbolicLink[] = [];
  #entries = 0;
  #bytes = 0;
  #pathBytes = 0;

  /** `shown` names the archive in errors; `bytesMax` is what it may unfold to. */
  constructor(shown: string, bytesMax: number) {
    this.#shown = shown;
    this.#bytesMax = bytesMax;
  }

  get entries(): number {
    return this.#entries;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** What to do, in this order. Throws ARTIFACTS_ARCHIVE_REFUSED or ARTIFACTS_ARCHIVE_TOO_LARGE. */
  admit(entry: EntryFacts): readonly Step[] {
    this.#entries += 1;
    this.#bytes += entry.bytes;
    if (this.#entries > artifactEntriesMax) throw this.#tooLarge(`it has more than ${artifactEntriesMax} entries`);
    if (this.#bytes > this.#bytesMax)
      throw this.#tooLarge(`it unfolds to more than ${this.#bytesMax} bytes (at ${shownName(entry.path)})`);
    const parts = this.#partsOf(entry.path);
    if (parts.length === 0) {
      if (entry.type === 'directory') return [];
      throw this.#refused(entry.path, 'it has no name');
    }
    const path = parts.join('/');
    const steps = this.#parentsOf(parts, entry.path);
    switch (entry.type) {
      case 'directory':
        return this.#taken.get(path) === 'directory' ? steps : [...steps, this.#directory(path, entry.path)];
      case 'file':
        if ((entry.mode & setIdBits) !== 0)
          throw this.#refused(entry.path, 'it would run as another user (set-user-id or set-group-id)');
        this.#take(path, 'file', entry.path);
        return [
          ...steps,
          { kind: 'file', path, mode: (entry.mode & ownerExecutes) === 0 ? plainMode : executableMode },
        ];
      case 'hard link':
        return [...steps, this.#hardLink(path, entry)];
      case 'symbolic link':
        this.#symbolicLink(path, entry);
        return steps;
      case 'other':
        throw this.#refused(entry.path, 'it is a device, a pipe or something else that is no file');
    }
  }

  /** To be made when everything else is there. */
  links(): readonly SymbolicLink[] {
    return this.#links;
  }

  /** A link that was made and leads out, or nowhere. */
  strayLink({ path, target }: SymbolicLink): ArtifactError {
    return this.#refused(path, `it is a link to ${shownName(target)}, which is not in the archive`);
  }

  #partsOf(path: string): readonly string[] {
    const bytes = Buffer.byteLength(path);
    this.#pathBytes += bytes;
    if (bytes > artifactPathBytesMax || this.#pathBytes > artifactPathsBytesMax)
      throw this.#tooLarge(`its paths are too long (at ${shownName(path)})`);
    if (path.startsWith('/')) throw this.#refused(path, 'its path is absolute');
    if (path.includes('\0')) throw this.#refused(path, 'there is a NUL in its name');
    const parts = path.split('/').filter((part) => part !== '' && part !== '.');
    if (parts.includes('..')) throw this.#refused(path, 'its path leads out with ..');
    if (parts.length > artifactPathLevelsMax || parts.some((part) => Buffer.byteLength(part) > nameBytesMax))
      throw this.#tooLarge(`its paths are too long (at ${shownName(path)})`);
    return parts;
  }

  #parentsOf(parts: readonly string[], shown: string): Step[] {
    const steps: Step[] = [];
    for (let count = 1; count < parts.length; count++) {
      const parent = parts.slice(0, count).join('/');
      const known = this.#taken.get(parent);
      if (known === undefined) steps.push(this.#directory(parent, shown));
      else if (known !== 'directory')
        throw this.#refused(shown, `its path goes through ${shownName(parent)}, a ${known}`);
    }
    // Parents that no entry names count as well: a deep path alone makes as many directories as it has levels.
    this.#entries += steps.length;
    return steps;
  }

  #directory(path: string, shown: string): Step {
    this.#take(path, 'directory', shown);
    return { kind: 'directory', path };
  }

  #take(path: string, kind: 'directory' | 'file' | 'link', shown: string): void {
    if (this.#taken.has(path)) throw this.#refused(shown, 'its name is in the archive twice');
    this.#taken.set(path, kind);
  }

  #hardLink(path: string, entry: EntryFacts): Step {
    const existing = this.#partsOf(entry.linkTarget).join('/');
    if (this.#taken.get(existing) !== 'file')
      throw this.#refused(
        entry.path,
        `it is a hard link to ${shownName(entry.linkTarget)}, which is no file before it in the archive`,
      );
    this.#take(path, 'file', entry.path);
    return { kind: 'hard link', path, existing };
  }

  /** Whether it leads out through other links is seen when it is made; what can be seen from here is said from here. */
  #symbolicLink(path: string, entry: EntryFacts): void {
    const { linkTarget } = entry;
    const link = { path, target: linkTarget };
    if (linkTarget === '' || linkTarget.startsWith('/') || linkTarget.includes('\0')) throw this.strayLink(link);
    if (Buffer.byteLength(linkTarget) > artifactPathBytesMax)
      throw this.#tooLarge(`its paths are too long (at ${shownName(path)})`);
    let level = path.split('/').length - 1;
    for (const part of linkTarget.split('/')) {
      if (part === '..') level -= 1;
      else if (part !== '' && part !== '.') level += 1;
      if (level < 0) throw this.strayLink(link);
    }
    this.#take(path, 'link', entry.path);
    this.#links.push(link);
  }

  #refused(path: string, why: string): ArtifactError {
    return new ArtifactError(
      'ARTIFACTS_ARCHIVE_REFUSED',
      `${this.#shown} is not unpacked because of ${shownName(path)}: ${why}. Pack it again without that.`,
      { fields: { archive: this.#shown, entry: shownName(path) } },
    );
  }

  #tooLarge(what: string): ArtifactError {
    return new ArtifactError(
      'ARTIFACTS_ARCHIVE_TOO_LARGE',
      `${this.#shown} is not unpacked: ${what}. Pack less, or split the module.`,
      {
        fields: { archive: this.#shown },
      },
    );
  }
}

const shownMax = 120;

/** A name of the archive as text that harms no terminal. */
function shownName(path: string): string {
  const short = path.length > shownMax ? `${path.slice(0, shownMax)}…` : path;
  return JSON.stringify(short);
}
