// A process of its own that installs one artefact, for tests that kill it.
//
//   INSTALLER = {"directory", "reserveBytes", "authority": PEM, "source": {"url", "sha256", "sizeBytes"}}
//   prints "installed <directory>" or "failed <code> <message>"

import { type ArtifactSource, Artifacts } from '../../../src/artifacts/index.ts';
import { errorCode, errorMessage } from '../../../src/model/errors.ts';
import { systemArchives } from '../../../src/platform/archive/archive.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { systemDisk } from '../../../src/platform/disk.ts';
import { systemDownloads } from '../../../src/platform/download.ts';
import { systemEntropy } from '../../../src/platform/entropy.ts';
import { systemHashedFiles } from '../../../src/platform/hashed-file.ts';
import { createLog } from '../../../src/platform/log.ts';
import { systemTrees } from '../../../src/platform/tree.ts';

interface Order {
  readonly directory: string;
  readonly reserveBytes: number;
  readonly authority: string;
  readonly source: ArtifactSource;
}

async function main({ directory, reserveBytes, authority, source }: Order): Promise<void> {
  const clock = systemClock();
  const artifacts = new Artifacts(
    {
      downloads: systemDownloads({ authorities: () => Promise.resolve([authority]), userAgent: 'weir/test' }),
      archives: systemArchives(),
      hashedFiles: systemHashedFiles(),
      trees: systemTrees(),
      disk: systemDisk(),
      clock,
      entropy: systemEntropy(),
      log: createLog({ clock, level: 'info', write: (line) => void process.stderr.write(line) }),
    },
    { directory, reserveBytes },
  );
  await artifacts.start();
  try {
    const told = (text: string): void => void process.stdout.write(`told ${text}\n`);
    const installed = await artifacts.install(source, told, new AbortController().signal);
    process.stdout.write(`installed ${installed.directory}\n`);
  } catch (error) {
    process.stdout.write(`failed ${errorCode(error)} ${errorMessage(error)}\n`);
  }
  await artifacts.close();
}

void main(JSON.parse(process.env['INSTALLER'] ?? '{}') as Order);
