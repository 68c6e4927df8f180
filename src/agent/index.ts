// The agent: what this device is asked to run and to route, and what it reports about it.

export { Agent } from './agent.ts';
export { BrokerSections } from './broker-sections.ts';
export { Clients } from './clients.ts';
export { ModuleRegistry } from './module-registry.ts';
export type { LocalTwins, OwnTwin } from './ports.ts';
export type { AgentFacts } from './report.ts';
export { recallLocalTwins } from './rollout-record.ts';
export { parseRouting, Routing } from './routing.ts';
