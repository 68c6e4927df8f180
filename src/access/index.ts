// The door of access: who may connect, and what they may do: by files in mosquitto's formats, and by a gateway's policy.

export { Access, type AccessOptions } from './access.ts';
export { AccessError } from './errors.ts';
export { GatewayAccess, type GatewayAccessOptions } from './gateway-access.ts';
export type { AccessPorts } from './ports.ts';
export { removeUser, setUser } from './user-editor.ts';
