// Why a deployment is not applied as asked. The status codes are those Azure's agent reports.

import { WeirError } from '../model/errors.ts';

export const deploymentStatus = {
  ok: 200,
  malformed: 400,
  unknown: 406,
  schemaUnsupported: 412,
  empty: 417,
  failed: 500,
} as const;

export function identityUnavailableError(moduleId: string, cause: unknown): WeirError {
  return new WeirError({
    code: 'AGENT_IDENTITY_UNAVAILABLE',
    message: `Module ${moduleId} has no identity yet and is not started; it is tried again.`,
    retryable: true,
    cause,
  });
}

export function closedError(): WeirError {
  return new WeirError({ code: 'AGENT_CLOSED', message: 'The agent is ending; nothing is deployed any more.' });
}
