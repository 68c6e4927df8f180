// The door of config/: config.toml plus options plus defaults become one frozen, validated Config.

export { type BrokerConfig, loadBrokerConfig } from './broker-config.ts';
export { ConfigError, formatNote } from './errors.ts';
export { loadConfig, locate, readConfig } from './load.ts';
export { formatRedacted, redactedConfig } from './redacted.ts';
export type { Config } from './schema.ts';
export { parseBytes, parseDurationMs } from './units.ts';
