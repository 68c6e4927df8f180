// The door of bridges: topics that this gateway's broker shares with other MQTT brokers, stored on the way out.

export { type BridgeOptions, Bridges, upstreamBroker } from './bridges.ts';
export { BridgeError } from './errors.ts';
