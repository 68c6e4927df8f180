// What can go wrong in a built-in module, by code. Listed in docs/ERRORS.md.

import type { WeirErrorDetail } from '../model/errors.ts';
import { WeirError } from '../model/errors.ts';

/** MODULES_UNKNOWN, MODULES_ENVIRONMENT: starting again as it is cannot help; the process exits with 78 (EX_CONFIG). */
export class ModuleConfigurationError extends WeirError {}

/** MODULES_WORKLOAD_REFUSED: the host tries again. */
export class ModuleLinkError extends WeirError {}

/** MODULES_BAD_REQUEST: a method call or an input message that cannot be done as it is. `fields.status` is the answer's status. */
export class ModuleRequestError extends WeirError {
  readonly status: number;

  constructor(detail: Omit<WeirErrorDetail, 'code'> & { readonly status: number; readonly code?: string }) {
    super({ ...detail, code: detail.code ?? 'MODULES_BAD_REQUEST' });
    this.status = detail.status;
  }
}
