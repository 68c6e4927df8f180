// What can go wrong between this broker and another one.

import { errorCode, errorMessage, WeirError } from '../model/errors.ts';

/** BRIDGE_OFFLINE · BRIDGE_NOT_TAKEN */
export class BridgeError extends WeirError {}

export function bridgeOffline(name: string): BridgeError {
  return new BridgeError({
    code: 'BRIDGE_OFFLINE',
    message: `The other broker of bridge ${name} is out of reach. What waits for it stays stored, and is sent when it is back.`,
    retryable: true,
    fields: { bridge: name },
  });
}

/** The other broker said no, or the connection ended before it said yes. */
export function bridgeNotTaken(name: string, cause: unknown): BridgeError {
  return new BridgeError({
    code: 'BRIDGE_NOT_TAKEN',
    message: `The other broker of bridge ${name} did not take a message: ${errorMessage(cause)}`,
    retryable: true,
    fields: { bridge: name, cause: errorCode(cause) },
    cause,
  });
}
