// The control plane: who may connect, what they are to do, and what they sent.
//
//   device ─MQTT─► broker ─► device-backend ─► ingest ─► event-log ──► readers (api: /events)
//                                 └──────────► twins ◄── api: /twins, applyConfigurationContent ◄─ service
//          ◄──── broker ◄── devicebound ◄── cloud-queue ◄── api: /devices/{d}/messages/devicebound
//
// cloud.ts plugs these together with the broker, the certificates and the disk. Everything durable is in one
// SQLite file (database.ts).

export { HubApi } from './api/api.ts';
export { HubAuthenticator } from './authenticator.ts';
export { openHubDatabase } from './database.ts';
export { Deployments } from './deployments.ts';
export { HubDeviceBackend } from './device-backend.ts';
export { Devicebound } from './devicebound.ts';
export { EventLog } from './event-log.ts';
export { Ingest } from './ingest.ts';
export { QueueImport } from './queue-import.ts';
export { Registry } from './registry.ts';
export { Retention } from './retention.ts';
export { Twins } from './twins.ts';
