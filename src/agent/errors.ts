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

export interface DeploymentProblem {
  /** JSON path from the module twin's desired properties, e.g. `modules.modbus.settings.image`. */
  readonly path: string;
  /** What is wrong and what to write instead. */
  readonly message: string;
}

export function identityUnavailableError(moduleId: string, cause: unknown): WeirError {
  return new WeirError({
    code: 'AGENT_IDENTITY_UNAVAILABLE',
    message: `Module ${moduleId} has no identity yet and is not started; it is tried again.`,
    retryable: true,
    cause,
  });
}
