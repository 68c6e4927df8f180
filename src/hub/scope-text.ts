// How the place and the credentials of an identity are written, in the service API and in a gateway's scope alike.
//
//   ms-azure-iot-edge://{device}-{generation}       the scope of one life of a gateway, as Azure names it
//   { "symmetricKey": { … }, "x509Thumbprint": { … }, "type": "sas" | "selfSigned" | "certificateAuthority" }
//
// Pure text. A generation consists of digits only, so the last hyphen tells the two apart.

import type { JsonObject } from '../model/json.ts';
import type { Credentials } from './credentials.ts';

/** A gateway and which of its lives: deleted and created again it is somebody else. */
export interface GatewayLife {
  readonly deviceId: string;
  readonly generationId: string;
}

const scopePattern = /^ms-azure-iot-edge:\/\/(.+)-(\d+)$/;

export function scopeText({ deviceId, generationId }: GatewayLife): string {
  return `ms-azure-iot-edge://${deviceId}-${generationId}`;
}

/** Undefined when the text names no scope. */
export function parseScopeText(text: string): GatewayLife | undefined {
  const [, deviceId, generationId] = scopePattern.exec(text) ?? [];
  return deviceId === undefined || generationId === undefined ? undefined : { deviceId, generationId };
}

export function authenticationJson({ authentication, keys, thumbprints }: Credentials): JsonObject {
  const isSas = authentication === 'sas';
  return {
    symmetricKey: {
      primaryKey: isSas ? keys.primaryKey : null,
      secondaryKey: isSas ? keys.secondaryKey : null,
    },
    x509Thumbprint: thumbprintsJson(thumbprints),
    type: authentication,
  };
}

export function thumbprintsJson({ primary, secondary }: Credentials['thumbprints']): JsonObject {
  return {
    primaryThumbprint: primary?.toUpperCase() ?? null,
    secondaryThumbprint: secondary?.toUpperCase() ?? null,
  };
}
