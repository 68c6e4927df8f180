// What cannot be done with a queue, and what to do instead. `fields.status` is the HTTP status on the admin socket.

import { WeirError } from '../model/errors.ts';

export type QueuesErrorCode =
  | 'QUEUES_UNKNOWN_QUEUE'
  | 'QUEUES_NO_HUB'
  | 'QUEUES_NOT_FOR_HUB'
  | 'QUEUES_RENEWED'
  | 'QUEUES_RECEIPT_INVALID'
  | 'QUEUES_RECEIPT_FORGED'
  | 'QUEUES_RECEIPT_STALE'
  | 'QUEUES_RECEIPT_GAP';

const statuses: Readonly<Record<QueuesErrorCode, number>> = {
  QUEUES_UNKNOWN_QUEUE: 404,
  QUEUES_NO_HUB: 409,
  QUEUES_NOT_FOR_HUB: 409,
  QUEUES_RENEWED: 503,
  QUEUES_RECEIPT_INVALID: 422,
  QUEUES_RECEIPT_FORGED: 422,
  QUEUES_RECEIPT_STALE: 422,
  QUEUES_RECEIPT_GAP: 409,
};

export class QueuesError extends WeirError {
  declare readonly code: QueuesErrorCode;

  constructor(code: QueuesErrorCode, message: string) {
    super({ code, message, retryable: code === 'QUEUES_RENEWED', fields: { status: statuses[code] } });
  }
}

export function noHubError(): QueuesError {
  return new QueuesError(
    'QUEUES_NO_HUB',
    'This gateway has no hub, so there is nobody to carry its messages to. Set [provisioning] in the configuration.',
  );
}
