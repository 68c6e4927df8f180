// The door of bridges: topics that this gateway's broker shares with other MQTT brokers, stored on the way out.

export { topicRuleProblems } from './bridge-document.ts';
export { type BridgeOptions, Bridges, upstreamBroker } from './bridges.ts';
export { BridgeError } from './errors.ts';
export { templateProblem } from './topic-template.ts';
