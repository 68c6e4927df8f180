// What can go wrong with the container engine and its images.
//
// Two kinds that callers tell apart: the engine is away (isEngineAway), which says nothing about any container and
// passes by itself; and the engine answered no, with its status and its own words.

import { WeirError } from '../model/errors.ts';

const awayCodes: readonly string[] = [
  'CONTAINERS_ENGINE_ABSENT',
  'CONTAINERS_ENGINE_SILENT',
  'CONTAINERS_ENGINE_LOST',
  'CONTAINERS_ENGINE_UNSUITABLE',
];

/** True when nobody knows at present how containers are. */
export function isEngineAway(error: unknown): boolean {
  return error instanceof WeirError && awayCodes.includes(error.code);
}

/** The engine's HTTP status of a refusal; undefined for everything else. */
export function refusedStatus(error: unknown): number | undefined {
  if (!(error instanceof WeirError) || error.code !== 'CONTAINERS_ENGINE_REFUSED') return undefined;
  const status = error.fields['engineStatus'];
  return typeof status === 'number' ? status : undefined;
}

export function engineAbsentError(socketPaths: readonly string[], cause?: unknown): WeirError {
  const where = socketPaths.join(', ');
  return new WeirError({
    code: 'CONTAINERS_ENGINE_ABSENT',
    message: `No container engine answers on ${where}. Install podman and enable its socket (systemctl enable --now podman.socket), or name the socket as moby_runtime.uri in the configuration; process modules do not need it.`,
    retryable: true,
    fields: { sockets: where },
    cause,
  });
}

export function engineSilentError(
  what: string,
  { socketPath, afterMs }: { readonly socketPath: string; readonly afterMs: number },
): WeirError {
  return new WeirError({
    code: 'CONTAINERS_ENGINE_SILENT',
    message: `The container engine on ${socketPath} did not answer ${what} within ${afterMs} ms. It is asked again; if it stays so, restart the engine.`,
    retryable: true,
    fields: { socket: socketPath },
  });
}

export function engineLostError(
  what: string,
  { socketPath, cause }: { readonly socketPath: string; readonly cause: unknown },
): WeirError {
  return new WeirError({
    code: 'CONTAINERS_ENGINE_LOST',
    message: `The connection to the container engine on ${socketPath} broke during ${what}. Its containers are taken to be as they were until it answers again.`,
    retryable: true,
    fields: { socket: socketPath },
    cause,
  });
}

export function engineUnsuitableError(socketPath: string, reason: string): WeirError {
  return new WeirError({
    code: 'CONTAINERS_ENGINE_UNSUITABLE',
    message: `What answers on ${socketPath} cannot be used as a container engine: ${reason}. Name the socket of podman or Docker as moby_runtime.uri.`,
    retryable: true,
    fields: { socket: socketPath },
  });
}

export function engineRefusedError(
  what: string,
  { status, reason }: { readonly status: number; readonly reason: string },
): WeirError {
  return new WeirError({
    code: 'CONTAINERS_ENGINE_REFUSED',
    message: `The container engine refused ${what}: ${reason}`,
    fields: { engineStatus: status },
    retryable: status >= 500,
  });
}

/** Nobody knows then how its containers are, as if it were away. */
export function engineUnreadableError(what: string): WeirError {
  return new WeirError({
    code: 'CONTAINERS_ENGINE_UNSUITABLE',
    message: `The container engine answers ${what} with something that cannot be read. It is asked again; if it stays so, restart the engine.`,
    retryable: true,
  });
}

export function imageMissingError(image: string): WeirError {
  return new WeirError({
    code: 'CONTAINERS_IMAGE_MISSING',
    message: `The image ${image} is not on this machine, and its imagePullPolicy is "never". Load it (podman load, docker load), or set imagePullPolicy to "on-create".`,
    fields: { image },
  });
}

export function imageNameError(image: string, reason: string): WeirError {
  return new WeirError({
    code: 'CONTAINERS_IMAGE_NAME',
    message: `${JSON.stringify(image)} is not the name of an image: ${reason}. Write it as registry/repository:tag or registry/repository@sha256:….`,
    fields: { image },
  });
}

export function pullFailedError(image: string, reason: string, retryable: boolean): WeirError {
  return new WeirError({
    code: 'CONTAINERS_PULL_FAILED',
    message: `The image ${image} cannot be pulled: ${reason}. Check the name, the registry and its credentials in the deployment (registryCredentials).`,
    fields: { image },
    retryable,
  });
}

export function pullStalledError(image: string, silentMs: number): WeirError {
  return new WeirError({
    code: 'CONTAINERS_PULL_STALLED',
    message: `Pulling the image ${image} made no progress for ${Math.round(silentMs / 1000)} s: its registry hangs or cannot be reached. It is tried again.`,
    fields: { image },
    retryable: true,
  });
}
