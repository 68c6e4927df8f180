// The source of an artefact, read once: where from, what kind, and a name of it that may be shown.
//
// The kind goes by the end of the name: .tar.gz .tgz .tar .zip are unpacked, everything else is one file. An address
// may carry a signature or a password; `shown` is without them and is what errors, logs and progress say.

import { moduleSourceBytesMax } from '../limits.ts';
import type { ArchiveKind } from '../platform/archive/archive.ts';
import { ArtifactError } from './errors.ts';
import type { ArtifactSource } from './ports.ts';

export interface KnownSource {
  readonly url: URL;
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly kind: ArchiveKind | 'file';
  /** Of the file: the last part of the path. */
  readonly name: string;
  readonly shown: string;
}

const archiveEnds: readonly (readonly [string, ArchiveKind])[] = [
  ['.tar.gz', 'tar.gz'],
  ['.tgz', 'tar.gz'],
  ['.tar', 'tar'],
  ['.zip', 'zip'],
];
/** Archives that people know and that are not unpacked: better said now than when the module does not start. */
const otherArchives = /\.(tar\.\w+|tbz2?|txz|tzst|7z|rar|deb|rpm|bz2|xz|zst|gz)$/i;
const nameMax = 128;

/** Throws ARTIFACTS_SOURCE_INVALID. */
export function readSource({ url: text, sha256, sizeBytes }: ArtifactSource): KnownSource {
  const url = parseUrl(text);
  const shown = shownUrl(url);
  const complain = (what: string): ArtifactError =>
    new ArtifactError('ARTIFACTS_SOURCE_INVALID', `${shown}: ${what}.`, { fields: { url: shown } });
  if (!/^[0-9a-f]{64}$/i.test(sha256)) throw complain('its sha256 is not 64 hexadecimal digits');
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 1 || sizeBytes > moduleSourceBytesMax)
    throw complain(`its size is not between 1 and ${moduleSourceBytesMax} bytes`);
  const name = nameOf(url);
  const kind = archiveEnds.find(([end]) => name.toLowerCase().endsWith(end))?.[1] ?? 'file';
  if (kind === 'file' && otherArchives.test(name))
    throw complain('archives are .tar.gz, .tgz, .tar or .zip; pack it as one of these');
  return { url, sha256: sha256.toLowerCase(), sizeBytes, kind, name, shown };
}

function parseUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw new ArtifactError(
      'ARTIFACTS_SOURCE_INVALID',
      'The address of an artefact cannot be read; write https://… or file:///….',
      {
        cause,
      },
    );
  }
  const known = url.protocol === 'https:' || (url.protocol === 'file:' && url.host === '');
  if (known) return url;
  throw new ArtifactError(
    'ARTIFACTS_SOURCE_INVALID',
    `${shownUrl(url)}: artefacts come from https://… or file:///…; other ways are not taken.`,
  );
}

/** Without user, password, query and fragment. */
export function shownUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

function nameOf(url: URL): string {
  const last = url.pathname.split('/').at(-1) ?? '';
  const plain = decoded(last)
    .replace(/[^A-Za-z0-9._+-]/g, '-')
    .replace(/^\.+/, '')
    .slice(-nameMax);
  return plain === '' ? 'program' : plain;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
