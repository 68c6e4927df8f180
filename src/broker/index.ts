// The broker's door: the broker, its bounds, and what its ports are.

export { Broker, type BrokerPorts, type ConnectedClientFacts } from './broker.ts';
export type { BrokerLimits } from './broker-limits.ts';
export { type DeviceBackend, IotHubFront, type IotHubFrontPorts, ModuleInput } from './iothub/index.ts';
export type {
  Admission,
  Authenticator,
  Authoriser,
  BrokerClient,
  InboundPublish,
  Principal,
  TopicService,
} from './ports.ts';
