// Files of modules: where they come from and where they are kept.
//
// Part of the composition root (device.ts). Servers are trusted by the machine's authorities and by those of the trust
// bundle: a site's own server of files needs no public name.

import { join } from 'node:path';
import { Artifacts } from './artifacts/index.ts';
import type { DataParts, IdentityParts, Stage } from './device-parts.ts';
import { systemArchives } from './platform/archive/archive.ts';
import { systemDownloads, trustedAuthorities } from './platform/download.ts';
import { systemHashedFiles } from './platform/hashed-file.ts';
import { buildInfo } from './platform/native.ts';
import { systemTrees } from './platform/tree.ts';

export async function openArtifacts(
  { ground, closing }: Stage,
  { store, trustPem }: Pick<IdentityParts & DataParts, 'store' | 'trustPem'>,
): Promise<Artifacts> {
  const { config, disk, clock, entropy, log } = ground;
  const { space } = await store.facts();
  const artifacts = new Artifacts(
    {
      downloads: systemDownloads({
        authorities: () => trustedAuthorities(trustPem),
        userAgent: `weir/${buildInfo().version}`,
      }),
      archives: systemArchives(),
      hashedFiles: systemHashedFiles(),
      trees: systemTrees(),
      disk,
      clock,
      entropy,
      log: log.child('artifacts'),
    },
    { directory: join(config.dataDir, 'artifacts'), reserveBytes: space.reserveBytes },
  );
  await artifacts.start();
  closing.push(() => artifacts.close());
  return artifacts;
}
