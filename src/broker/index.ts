// The broker's door: the broker, its bounds, and what its ports are.

export { Broker, type BrokerPorts } from './broker.ts';
export type { BrokerFacts } from './broker-facts.ts';
export type { BrokerLimits } from './broker-limits.ts';
export { type DeviceBackend, IotHubFront, ModuleInput } from './iothub/index.ts';
export type { Admission, Authenticator, Authoriser, BrokerClient, Principal, TopicProtocol } from './ports.ts';
