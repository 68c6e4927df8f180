// The door of the store: everything durable on the device.
//
// `Store` is the main thread's side, `serveStore` the store thread's. Nothing else of this folder is needed
// outside: what a queue leads to, who fills it and who empties it is decided elsewhere.

export { StoreError } from './errors.ts';
export { serveStore } from './serve.ts';
export { StateFile } from './state-file.ts';
export {
  type ReadFrom,
  Store,
  type StoredMessage,
  type StoreOptions,
  type StorePorts,
  type TwinRecord,
} from './store.ts';
export type { FileFacts, LaneFacts } from './thread-protocol.ts';
