// What modules have beside their orders: identities before they start, and files, images and logs that go when nobody
// needs them any more.

import { errorMessage } from '../model/errors.ts';
import type { Log } from '../platform/log.ts';
import type { Deployment } from './deployment.ts';
import { identityUnavailableError } from './errors.ts';
import type { ModuleSurroundings } from './orders.ts';
import type { ModuleArtifacts, ModuleHands, ModuleIdentities, ModuleImages, ModuleKind } from './ports.ts';
import { imagesOf, sourcesOf } from './preparation.ts';

/** Throws AGENT_IDENTITY_UNAVAILABLE. */
export async function provideAll(
  identities: ModuleIdentities,
  modules: ReadonlyMap<string, ModuleKind>,
): Promise<ReadonlyMap<string, ModuleSurroundings>> {
  const surroundings = new Map<string, ModuleSurroundings>();
  for (const [name, kind] of modules) {
    try {
      surroundings.set(name, await identities.provide(name, kind));
    } catch (error) {
      throw identityUnavailableError(name, error);
    }
  }
  return surroundings;
}

export interface Belongings {
  readonly artifacts?: ModuleArtifacts | undefined;
  readonly images?: ModuleImages | undefined;
  readonly hands: Pick<ModuleHands, 'keepLogs'>;
  readonly log: Log;
}

export interface Needed {
  readonly deployments: readonly (Deployment | undefined)[];
  /** Names of the modules whose logs somebody may want to read. */
  readonly logs: readonly string[];
}

/** Removes files, images and logs that nobody needs any more. What cannot be removed now stays until the next time. */
export async function removeUnneeded(
  { artifacts, images, hands, log }: Belongings,
  { deployments, logs }: Needed,
): Promise<void> {
  try {
    await artifacts?.keepOnly([...new Set(deployments.flatMap(sourcesOf))]);
    await images?.keepOnly([...new Set(deployments.flatMap(imagesOf))]);
    await hands.keepLogs(logs);
  } catch (error) {
    log.warn('what is no longer needed could not be removed', { reason: errorMessage(error) });
  }
}
