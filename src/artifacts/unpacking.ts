// From a verified file to a tree that is ready to be given its name: unpacked, or the single file put in place.
//
// The tree is made beside its place and is on stable storage when it comes back; giving it its name is a rename, so
// that there is never half a module. Space is asked before each entry, by what the entry declares.

import {
  artifactHeaderBytesMax,
  artifactUnfoldMax,
  artifactUnpackedBytesFree,
  artifactUnpackedBytesMax,
} from '../limits.ts';
import type { ArchiveEntry } from '../platform/archive/archive.ts';
import type { Tree } from '../platform/tree.ts';
import { EntryRules, type Step } from './entry-rules.ts';
import { ArtifactError, asArtifactError } from './errors.ts';
import type { ArtifactPorts, Told } from './ports.ts';
import { type ArtifactRecord, type RecordedNode, recordNode } from './record.ts';
import type { KnownSource } from './source.ts';

export interface UnpackOptions {
  /** The verified file. */
  readonly from: string;
  /** Of the tree; must not exist. */
  readonly to: string;
  readonly reserveBytes: number;
  readonly told: Told;
  readonly signal: AbortSignal;
}

/** What Node runs is read, not executed. */
const scriptEnd = /\.(js|cjs|mjs|json)$/i;
const executableMode = 0o755;
const plainMode = 0o644;
const toldEveryEntries = 200;
/** What a small file takes on most file systems. */
const blockBytes = 4096;

type Ports = Pick<ArtifactPorts, 'archives' | 'trees' | 'disk'>;

/** Rejects with an ArtifactError; what was made so far is left for the caller to remove. */
export async function unpack(ports: Ports, source: KnownSource, options: UnpackOptions): Promise<ArtifactRecord> {
  try {
    const tree = await ports.trees.create('artifact:unpack', options.to);
    const paths =
      source.kind === 'file'
        ? await placeFile(source.name, { ...options, tree })
        : await unfold(ports, source, { ...options, tree });
    await tree.sync();
    return await recordOf(ports, source, { directory: options.to, paths });
  } catch (error) {
    options.signal.throwIfAborted();
    throw asArtifactError(error, source.shown);
  }
}

interface Unfolding extends UnpackOptions {
  readonly tree: Tree;
}

async function placeFile(name: string, { from, tree }: Unfolding): Promise<readonly string[]> {
  await tree.adoptFile({ path: name, from, mode: scriptEnd.test(name) ? plainMode : executableMode });
  return [name];
}

async function unfold(ports: Ports, source: KnownSource, options: Unfolding): Promise<readonly string[]> {
  const { kind, shown, name, sizeBytes } = source;
  if (kind === 'file') return [];
  const { from, tree, told, signal, reserveBytes } = options;
  const free = await ports.disk.freeBytes('artifact:space', from);
  const room = Math.max(0, free - reserveBytes);
  const unfoldedMax = Math.max(artifactUnpackedBytesFree, sizeBytes * artifactUnfoldMax);
  const rules = new EntryRules(shown, Math.min(artifactUnpackedBytesMax, unfoldedMax));
  const paths: string[] = [];
  let taken = 0;
  const reading = { kind, headerBytesMax: artifactHeaderBytesMax, signal };
  for await (const entry of ports.archives.entries(from, reading)) {
    signal.throwIfAborted();
    const steps = rules.admit(entry);
    taken += Math.ceil(entry.bytes / blockBytes) * blockBytes;
    if (taken > room)
      throw new ArtifactError(
        'ARTIFACTS_NO_SPACE',
        `No room to unpack ${shown}: ${room} bytes are free beside the reserve. Make room, or deploy less.`,
        {
          fields: { url: shown },
        },
      );
    for (const step of steps) {
      await take(tree, step, entry);
      if (step.kind !== 'directory') paths.push(step.path);
    }
    if (rules.entries % toldEveryEntries === 0) told(`unpacking ${name}: ${rules.entries} files`);
  }
  for (const { path, target } of rules.links()) await tree.symbolicLink(path, target);
  // Only now, for a link may lead through another one.
  for (const link of rules.links()) {
    if ((await tree.leadsTo(link.path)) === undefined) throw rules.strayLink(link);
    paths.push(link.path);
  }
  return paths;
}

function take(tree: Tree, step: Step, entry: ArchiveEntry): Promise<void> {
  switch (step.kind) {
    case 'directory':
      return tree.makeDirectory(step.path);
    case 'file':
      return tree.writeFile({ path: step.path, mode: step.mode, content: entry.content });
    case 'hard link':
      return tree.hardLink(step.path, step.existing);
  }
}

async function recordOf(
  { trees }: Ports,
  { shown, kind, name }: KnownSource,
  { directory, paths }: { readonly directory: string; readonly paths: readonly string[] },
): Promise<ArtifactRecord> {
  const nodes: RecordedNode[] = [];
  for (const path of paths) {
    const node = await recordNode(path, directory, trees);
    if (node !== undefined) nodes.push(node);
  }
  const bytes = nodes.reduce((sum, [, , size]) => sum + size, 0);
  return { url: shown, bytes, file: kind === 'file' ? name : undefined, nodes };
}
