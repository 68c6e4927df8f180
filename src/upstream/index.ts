// The link to the cloud: state machine, transport, back-off; an endpoint like any other.

export { type LinkOptions, type LinkPorts, UpstreamLink } from './link.ts';
export type {
  DesiredChange,
  DeviceboundMessage,
  LinkStatus,
  MethodAnswer,
  MethodCall,
  OutgoingMessage,
} from './ports.ts';
