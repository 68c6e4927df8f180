// Why a queue file is not taken: which file, what is wrong with it, and what the one who carries it can do.
//
// A file that is not taken stays where it is; what is in it waits at the gateway, too, until a receipt or the link
// tells it otherwise. So the mend is mostly to make the file again.

import type { SegmentFault, SegmentRefusal } from '../protocol/queue-file/index.ts';
import { HubError } from './errors.ts';

const unprocessable = 422;
const conflict = 409;
const forbidden = 403;

const refusals: Readonly<Record<SegmentFault, { readonly code: string; readonly mend: string }>> = {
  foreign: { code: 'HUB_IMPORT_FOREIGN', mend: 'Take it off the stick, or rename it.' },
  newer: { code: 'HUB_IMPORT_NEWER', mend: 'Update this hub: the gateway is of a newer weir.' },
  torn: {
    code: 'HUB_IMPORT_TORN',
    mend: 'Delete it and run weir queue export at the gateway again; unmount the stick before you pull it.',
  },
  damaged: { code: 'HUB_IMPORT_DAMAGED', mend: 'Delete it and run weir queue export at the gateway again.' },
};

export function fileRefused(file: string, { fault, reason }: SegmentRefusal): HubError {
  const { code, mend } = refusals[fault];
  return refused({ code, file, message: `${file} is not taken: ${reason}. ${mend}` });
}

export function fileOfStranger(
  file: string,
  { deviceId, isKnown }: { readonly deviceId: string; readonly isKnown: boolean },
): HubError {
  const message = isKnown
    ? `${file} is not taken: device ${deviceId} is disabled. Enable it first.`
    : `${file} is not taken: this hub has no device ${deviceId}. Bring the file to the hub that the gateway belongs to.`;
  return refused({
    code: isKnown ? 'HUB_IMPORT_DEVICE_DISABLED' : 'HUB_IMPORT_DEVICE_UNKNOWN',
    file,
    message,
    status: forbidden,
  });
}

export function fileWrongKey(file: string, deviceId: string): HubError {
  return refused({
    code: 'HUB_IMPORT_WRONG_KEY',
    file,
    message: `${file} is not taken: it was not made with a key that device ${deviceId} has at this hub. Bring it to the hub that the gateway belongs to; when the device got new keys, give them to the gateway and export again.`,
    status: forbidden,
  });
}

export function fileMissing(
  file: string,
  { deviceId, received, after }: { readonly deviceId: string; readonly received: number; readonly after: number },
): HubError {
  return refused({
    code: 'HUB_IMPORT_GAP',
    file,
    message: `${file} is not taken yet: it follows message ${after} of its queue, and of ${deviceId} only those up to ${received} are here. Import the file before it first, or let the gateway connect.`,
    status: conflict,
  });
}

function refused(detail: {
  readonly code: string;
  readonly file: string;
  readonly message: string;
  readonly status?: number;
}): HubError {
  const { code, file, message, status = unprocessable } = detail;
  return new HubError({ code, message, status, azureCode: 'ArgumentInvalid', fields: { file } });
}
