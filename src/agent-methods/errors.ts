// What the direct methods of `$edgeAgent` answer when they cannot do what is asked: `{"message": "…"}` and a status.
//
// As at Azure's agent there are two statuses: 400, the request is wrong and stays so; 500, it could not be done.

import { WeirError } from '../model/errors.ts';

export type AgentMethodErrorCode =
  | 'AGENT_METHODS_BAD_REQUEST'
  | 'AGENT_METHODS_TOO_LARGE'
  | 'AGENT_METHODS_SCHEMA_VERSION'
  | 'AGENT_METHODS_MODULE_UNKNOWN'
  | 'AGENT_METHODS_CANNOT_RESTART'
  | 'AGENT_METHODS_BUSY'
  | 'AGENT_METHODS_UPLOAD_FAILED'
  | 'AGENT_METHODS_TIMED_OUT';

const badRequest = 400;
const failed = 500;

export class AgentMethodError extends WeirError {
  readonly status: number;

  constructor(code: AgentMethodErrorCode, message: string, cause?: unknown) {
    super({ code, message, ...(cause === undefined ? {} : { cause }) });
    this.status = code === 'AGENT_METHODS_BAD_REQUEST' || code === 'AGENT_METHODS_TOO_LARGE' ? badRequest : failed;
  }
}

export function badRequestError(message: string): AgentMethodError {
  return new AgentMethodError('AGENT_METHODS_BAD_REQUEST', message);
}
