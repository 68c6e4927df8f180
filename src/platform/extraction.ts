// The private directory where the native parts of the executable stand as files, because the loader of shared
// objects and execve(2) take nothing else.
//
// Owns the layout <root>/<first 16 hex digits of the SHA-256>/<name>, the choice of <root>, and the bound on old
// versions. Does not know where the bytes come from (asset-archive.ts) nor what is done with the file.
//
// Invariants
//   A path is returned only after the file's bytes were read and have the wanted digest.
//   A file appears under its name whole and on stable storage, or not at all: temporary file, fsync, rename.
//   Nobody but the owner of this process, or root, can write to any directory on the way from <root> down.
//   A file that differs (power cut, worn card, tampering) is replaced, never loaded.
//
// Why several candidates for <root>: a module that was given another user id runs the same executable but
// cannot see the gateway's directory. Only a directory named by the operator is an order and not a wish.

import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { sha256Hex } from './asset-archive.ts';
import { NativeError } from './native-error.ts';

const DIR_MODE = 0o700;
const FILE_MODE = 0o500;
const PERMISSION_BITS = 0o777;
const OTHERS_WRITE_BITS = 0o022;
const DIGEST_DIR_DIGITS = 16;
const TEMPORARY_NAME_BYTES = 8;
/** Versions of one part that stay on the disk, the newest first: an upgrade, the one before, and two in trial. */
const VERSIONS_KEPT_MAX = 4;
const SYSTEM_ROOT = '/var/lib/weir/.native';

export interface ExtractionEnvironment {
  readonly [name: string]: string | undefined;
}

export interface AssetToExtract {
  readonly name: string;
  readonly sha256: string;
  readonly read: () => Buffer;
}

interface Candidate {
  readonly root: string;
  /** The operator named it: when it cannot be used, that is an error and not a reason to look further. */
  readonly ordered: boolean;
}

function candidates(environment: ExtractionEnvironment): Candidate[] {
  const ordered = environment['WEIR_EXTRACT_DIR'];
  if (ordered !== undefined && ordered !== '') return [{ root: path.resolve(ordered), ordered: true }];
  const found: Candidate[] = [];
  // Only beside an existing data directory: a developer's root shell must not leave /var/lib/weir behind.
  if (process.geteuid?.() === 0 && fs.existsSync(path.dirname(SYSTEM_ROOT)))
    found.push({ root: SYSTEM_ROOT, ordered: false });
  const cache = environment['XDG_CACHE_HOME'];
  const home = environment['HOME'];
  if (cache !== undefined && path.isAbsolute(cache)) found.push({ root: path.join(cache, 'weir'), ordered: false });
  else if (home !== undefined && path.isAbsolute(home))
    found.push({ root: path.join(home, '.cache/weir'), ordered: false });
  // The owner and mode of this one are checked like all others, so that nobody can lay it out for us.
  found.push({ root: path.join(os.tmpdir(), `weir-native-${process.geteuid?.() ?? 'nobody'}`), ordered: false });
  return found;
}

/** Makes `dir` private to this user, or throws. A link in its place is refused, not followed. */
function claimPrivateDir(dir: string): void {
  fs.mkdirSync(dir, { recursive: true, mode: DIR_MODE });
  const stat = fs.lstatSync(dir);
  const self = process.geteuid?.() ?? -1;
  const refuse = (why: string): NativeError =>
    new NativeError(
      'PLATFORM_EXTRACT_FAILED',
      `${dir} cannot hold native parts: ${why}. Remove it or set WEIR_EXTRACT_DIR`,
    );
  if (!stat.isDirectory()) throw refuse('it is not a directory');
  if (stat.uid !== self) throw refuse(`it belongs to user ${stat.uid}, and this process runs as ${self}`);
  if ((stat.mode & PERMISSION_BITS) !== DIR_MODE) fs.chmodSync(dir, DIR_MODE);
  fs.accessSync(dir, fs.constants.W_OK);
  const parent = fs.statSync(path.dirname(dir));
  const sticky = (parent.mode & fs.constants.S_IFMT) === fs.constants.S_IFDIR && (parent.mode & 0o1000) !== 0;
  if ((parent.mode & OTHERS_WRITE_BITS) !== 0 && !sticky) throw refuse('others may write to the directory above it');
}

function hasDigest(file: string, sha256: string): boolean {
  try {
    const stat = fs.lstatSync(file);
    return stat.isFile() && (stat.mode & PERMISSION_BITS) === FILE_MODE && sha256Hex(fs.readFileSync(file)) === sha256;
  } catch {
    return false;
  }
}

function syncDir(dir: string): void {
  const fd = fs.openSync(dir, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function writeWhole(file: string, bytes: Buffer): void {
  const temporary = `${file}.${randomBytes(TEMPORARY_NAME_BYTES).toString('hex')}.tmp`;
  const fd = fs.openSync(temporary, 'wx', FILE_MODE);
  try {
    fs.writeFileSync(fd, bytes);
    // The mode given to open is cut by the umask, and a shim without its execute bit is no shim.
    fs.fchmodSync(fd, FILE_MODE);
    fs.fsyncSync(fd);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  } finally {
    fs.closeSync(fd);
  }
  fs.renameSync(temporary, file);
  syncDir(path.dirname(file));
}

/** Forgets the oldest versions of `name`. Processes that have one loaded keep it: the kernel holds the file. */
function pruneVersions(root: string, name: string): void {
  const versions = fs
    .readdirSync(root)
    .map((entry) => path.join(root, entry))
    .filter((dir) => fs.existsSync(path.join(dir, name)))
    .map((dir) => ({ dir, at: fs.statSync(path.join(dir, name)).mtimeMs }))
    .sort((left, right) => right.at - left.at);
  for (const { dir } of versions.slice(VERSIONS_KEPT_MAX)) fs.rmSync(dir, { recursive: true, force: true });
}

function extractUnder(root: string, asset: AssetToExtract): string {
  const dir = path.join(root, asset.sha256.slice(0, DIGEST_DIR_DIGITS));
  const file = path.join(dir, asset.name);
  claimPrivateDir(root);
  claimPrivateDir(dir);
  if (hasDigest(file, asset.sha256)) return file;
  fs.rmSync(file, { recursive: true, force: true });
  writeWhole(file, asset.read());
  if (!hasDigest(file, asset.sha256))
    throw new NativeError(
      'PLATFORM_ASSET_DAMAGED',
      `${file} does not read back as it was written: the disk under it is failing or full`,
    );
  pruneVersions(root, asset.name);
  return file;
}

/** A directory for this process alone, gone when it exits: when somebody else took the name in /tmp. */
function temporaryRoot(): string {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'weir-native-'));
  process.once('exit', () => fs.rmSync(root, { recursive: true, force: true }));
  return root;
}

/**
 * The path of `asset` as a verified, executable file in a directory private to this user.
 * Throws NativeError PLATFORM_EXTRACT_FAILED when no directory takes it, and what `asset.read` throws.
 */
export function extractAsset(asset: AssetToExtract, environment: ExtractionEnvironment): string {
  for (const { root, ordered } of candidates(environment)) {
    try {
      return extractUnder(root, asset);
    } catch (error) {
      const ours = error instanceof NativeError && error.code !== 'PLATFORM_EXTRACT_FAILED';
      if (ours) throw error;
      if (ordered)
        throw new NativeError(
          'PLATFORM_EXTRACT_FAILED',
          `cannot put ${asset.name} into ${root}, which WEIR_EXTRACT_DIR names`,
          error,
        );
    }
  }
  try {
    return extractUnder(temporaryRoot(), asset);
  } catch (error) {
    if (error instanceof NativeError) throw error;
    throw new NativeError(
      'PLATFORM_EXTRACT_FAILED',
      `cannot put ${asset.name} into a temporary directory; set WEIR_EXTRACT_DIR to a directory that allows writing and executing`,
      error,
    );
  }
}
