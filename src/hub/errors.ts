// Every operating error of the hub, in one place: its stable code, the HTTP status and the name it has in
// Azure's API, and the mend.
//
// A refused twin or manifest names all its problems at once, each with the JSON path of the culprit: whoever
// mends a file wants the whole list, not one error a try. The message carries the first; `problems` carries all
// (the first `problemsMax`).
//
// `fields.status` repeats the status, so that a protocol front outside this folder can answer with it.

import { errorCode, errorMessage, WeirError } from '../model/errors.ts';
import type { Problem } from '../model/problem.ts';
import { methodFailureOf } from '../protocol/iothub/service-error.ts';

export interface HubErrorDetail {
  readonly code: string;
  readonly message: string;
  /** HTTP status, also used as the status of a twin answer over MQTT. */
  readonly status: number;
  /** The error's name in Azure's service API: `DeviceNotFound`. */
  readonly azureCode: string;
  readonly problems?: readonly Problem[];
  readonly retryable?: boolean;
  readonly cause?: unknown;
  readonly fields?: Readonly<Record<string, string | number | boolean | undefined>>;
}

export class HubError extends WeirError {
  readonly status: number;
  readonly azureCode: string;
  readonly problems: readonly Problem[];

  constructor(detail: HubErrorDetail) {
    super({
      code: detail.code,
      message: detail.message,
      retryable: detail.retryable ?? false,
      fields: { ...detail.fields, status: detail.status },
      ...(detail.cause === undefined ? {} : { cause: detail.cause }),
    });
    this.status = detail.status;
    this.azureCode = detail.azureCode;
    this.problems = detail.problems ?? [];
  }
}

export function deviceNotFound(deviceId: string): HubError {
  return new HubError({
    code: 'HUB_DEVICE_NOT_FOUND',
    message: `There is no device ${deviceId}. Create it with: weir hub device create ${deviceId}`,
    status: 404,
    azureCode: 'DeviceNotFound',
    fields: { device: deviceId },
  });
}

export function moduleNotFound(deviceId: string, moduleId: string): HubError {
  return new HubError({
    code: 'HUB_MODULE_NOT_FOUND',
    message: `Device ${deviceId} has no module ${moduleId}. Deploy a manifest that lists it.`,
    status: 404,
    azureCode: 'ModuleNotFound',
    fields: { device: deviceId, module: moduleId },
  });
}

export function alreadyExists(what: { readonly deviceId: string; readonly moduleId?: string | undefined }): HubError {
  const isModule = what.moduleId !== undefined;
  return new HubError({
    code: isModule ? 'HUB_MODULE_EXISTS' : 'HUB_DEVICE_EXISTS',
    message: isModule
      ? `Device ${what.deviceId} already has a module ${what.moduleId}. A request that is to change it sends If-Match: *.`
      : `Device ${what.deviceId} exists already. Choose another id; a request that is to change it sends If-Match: *.`,
    status: 409,
    azureCode: isModule ? 'ModuleAlreadyExistsOnDevice' : 'DeviceAlreadyExists',
    fields: { device: what.deviceId, module: what.moduleId },
  });
}

export function etagMismatch(subject: string): HubError {
  return new HubError({
    code: 'HUB_ETAG_MISMATCH',
    message: `${subject} was changed by somebody else since it was read. Read it again and repeat the change.`,
    status: 412,
    azureCode: 'PreconditionFailed',
  });
}

export function invalidArgument(message: string, problems: readonly Problem[] = []): HubError {
  return new HubError({ code: 'HUB_ARGUMENT_INVALID', message, status: 400, azureCode: 'ArgumentInvalid', problems });
}

export function limitReached(
  message: string,
  azureCode: 'TooManyDevices' | 'TooManyModulesOnDevice' | 'ThrottlingException',
): HubError {
  return new HubError({
    code: 'HUB_LIMIT_REACHED',
    message,
    status: azureCode === 'ThrottlingException' ? 429 : 413,
    azureCode,
  });
}

/** A twin patch that breaks a rule; `tooLarge` when its only fault is its size. */
export function twinRefused(
  subject: string,
  problems: readonly Problem[],
  { tooLarge }: { readonly tooLarge: boolean },
): HubError {
  return new HubError({
    code: tooLarge ? 'HUB_TWIN_TOO_LARGE' : 'HUB_TWIN_INVALID',
    message: `The twin of ${subject} was not changed: ${summary(problems)}`,
    status: tooLarge ? 413 : 400,
    azureCode: tooLarge ? 'MessageTooLarge' : 'ArgumentInvalid',
    problems,
  });
}

export function manifestRefused(problems: readonly Problem[], total: number): HubError {
  return new HubError({
    code: 'HUB_MANIFEST_INVALID',
    message: `The manifest has ${total} ${total === 1 ? 'error' : 'errors'}, nothing was changed: ${summary(problems)}`,
    status: 400,
    azureCode: 'InvalidConfigurationContent',
    problems,
  });
}

/** A cloud-to-device message that breaks a rule of IoT Hub's. */
export function messageRefused(
  message: string,
  azureCode: 'ArgumentInvalid' | 'InvalidMessageExpiryTime' | 'MessageTooLarge' = 'ArgumentInvalid',
): HubError {
  const status = { ArgumentInvalid: 400, InvalidMessageExpiryTime: 403, MessageTooLarge: 413 }[azureCode];
  return new HubError({ code: 'HUB_MESSAGE_INVALID', message, status, azureCode });
}

export function messageQueueFull(deviceId: string, countMax: number): HubError {
  return new HubError({
    code: 'HUB_MESSAGE_QUEUE_FULL',
    message: `${countMax} messages wait for device ${deviceId} already. Wait until it takes some, or: weir hub device purge-queue ${deviceId}`,
    status: 403,
    azureCode: 'DeviceMaximumQueueDepthExceeded',
    retryable: true,
    fields: { device: deviceId },
  });
}

/** What the device protocol says of a failed call, in the words of the service API; anything else is thrown on as it is. */
export function methodFailed(error: unknown): unknown {
  const code = errorCode(error);
  const known = methodFailureOf(code);
  if (known === undefined) return error;
  return new HubError({ code, message: errorMessage(error), ...known, cause: error });
}

/** Acknowledged to nobody; whoever sent it sends it again. */
export function logWriteFailed(cause: unknown): HubError {
  return new HubError({
    code: 'HUB_LOG_WRITE_FAILED',
    message: `The event log could not be written: ${errorMessage(cause)}. Check the free space and health of the hub's data directory.`,
    status: 500,
    azureCode: 'ServerError',
    retryable: true,
    cause,
  });
}

function summary(problems: readonly Problem[]): string {
  const [first, ...others] = problems;
  if (first === undefined) return 'no details.';
  return `${first.path}: ${first.message}${others.length === 0 ? '' : ` (and ${others.length} more)`}`;
}
