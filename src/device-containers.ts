// Modules in containers: the engine behind its socket, their images, their logs.
//
// Part of the composition root (device.ts). A gateway without an engine runs all the same: what needs one waits for it.

import { join } from 'node:path';
import { ModuleContainers } from './containers/index.ts';
import type { DataParts, Stage } from './device-parts.ts';
import { containerSpaceReserveBytes } from './limits.ts';
import { systemAppendFiles } from './platform/append-files.ts';
import { shortDigest } from './platform/digest.ts';
import { systemHttpExchange } from './platform/http-exchange.ts';

/** Does not look for the engine yet. */
export async function openContainers({ ground, closing }: Stage, { memory }: DataParts): Promise<ModuleContainers> {
  const { config, disk, clock, entropy, log } = ground;
  const containers = new ModuleContainers(
    {
      http: systemHttpExchange(),
      files: systemAppendFiles(),
      log: log.child('containers'),
      digest: shortDigest,
      disk,
      clock,
      entropy,
      memory,
    },
    {
      ...config.containers,
      images: {
        ...config.containers.images,
        reserveBytes: config.store.reserveBytes ?? containerSpaceReserveBytes,
      },
      // The place of its data is what a gateway keeps when it gets another name or configuration.
      gateway: shortDigest(config.dataDir),
      logDirectory: join(config.dataDir, 'logs'),
      logBytesMax: config.modules.logBytesMax,
      logFiles: config.modules.logFiles,
    },
  );
  await containers.start();
  closing.push(() => containers.close());
  return containers;
}
