// Who somebody is: a device, or a module on a device. IoT Hub's words: deviceId, moduleId.
//
// Owns the identity key `device` or `device/module`, which is at once the MQTT client id, the twin's key and
// the name in logs. Ids are case-sensitive. What an id may contain is IoT Hub's rule: 1 to 128 characters
// out of letters, digits and `- : . + % _ # * ? ! ( ) , = @ ; $ '`.

export interface Identity {
  readonly deviceId: string;
  readonly moduleId?: string | undefined;
}

const idPattern = /^[A-Za-z0-9\-:.+%_#*?!(),=@;$']{1,128}$/;

/** True when `id` may name a device or a module in IoT Hub's registry. */
export function isValidId(id: string): boolean {
  return idPattern.test(id);
}

/** `device` or `device/module`. */
export function identityKey(identity: Identity): string {
  return identity.moduleId === undefined ? identity.deviceId : `${identity.deviceId}/${identity.moduleId}`;
}

/** The reverse of identityKey; undefined when the text is not one or two valid ids. */
export function parseIdentityKey(key: string): Identity | undefined {
  const [deviceId, moduleId, ...rest] = key.split('/');
  if (deviceId === undefined || !isValidId(deviceId) || rest.length > 0) return undefined;
  if (moduleId === undefined) return { deviceId };
  return isValidId(moduleId) ? { deviceId, moduleId } : undefined;
}

export function sameIdentity(a: Identity, b: Identity): boolean {
  return a.deviceId === b.deviceId && a.moduleId === b.moduleId;
}

/** The two system modules of a gateway. They own their device's other modules: they may speak on their behalf. */
export const edgeAgentId = '$edgeAgent';
export const edgeHubId = '$edgeHub';
