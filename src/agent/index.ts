// The agent: what this device is asked to run and to route, and what it reports about it.

export { Agent, type AgentPorts } from './agent.ts';
export { BrokerSections } from './broker-sections.ts';
export { Clients } from './clients.ts';
export { parseDeployment } from './deployment.ts';
export { ModuleRegistry } from './module-registry.ts';
export type { LaunchOrder, ModuleArtifacts, ModuleImages, OwnTwin } from './ports.ts';
export type { AgentFacts } from './report.ts';
export { parseRouting, Routing } from './routing.ts';
