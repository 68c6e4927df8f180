// The door of access: who may connect, and what they may do, by files in mosquitto's formats.

export { Access, type AccessOptions } from './access.ts';
export { AccessError } from './errors.ts';
export type { AccessPorts } from './ports.ts';
export { removeUser, setUser } from './user-editor.ts';
