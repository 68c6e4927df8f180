// The door of config/: config.toml plus options plus defaults become one frozen, validated Config.

export { ConfigError, type ConfigNote, formatNote } from './errors.ts';
export { type ConfigReading, loadConfig, locate, readConfig } from './load.ts';
export { nearestName } from './nearest.ts';
export { formatRedacted, redactedConfig } from './redacted.ts';
export { type Config, settings } from './schema.ts';
