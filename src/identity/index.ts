// The door of identity/: keys, tokens, certificates, and who may connect to this gateway.
//
// Private keys do not pass it, except derived module keys (for comparison) and certificates issued to modules.

export {
  createAuthority,
  issueServerCertificate,
  type KeyedCertificate,
} from './certificate.ts';
export { CertificateStore } from './certificate-store.ts';
export { DeviceKey } from './device-key.ts';
export { loadOrCreateDeviceKey } from './key-file.ts';
export { LeafDevices } from './leaf-devices.ts';
export { ModuleAuthenticator } from './local-authenticator.ts';
export { ModuleKeys } from './module-keys.ts';
export { signToken, verifyToken } from './sas-token.ts';
