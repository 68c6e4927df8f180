// The broker's door: the broker, its bounds, what it says of itself, and what its ports are.

export { Broker, type BrokerPorts } from './broker.ts';
export { type BrokerLimits, brokerLimits } from './broker-limits.ts';
export { type DeviceBackend, IotHubFront, ModuleInput } from './iothub/index.ts';
export type { Authenticator, Authoriser, Principal, TopicProtocol } from './ports.ts';
export { SysTopics } from './sys-topics.ts';
