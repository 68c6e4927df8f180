// The link to the cloud: state machine, transport, back-off; an endpoint like any other.

export { type LinkOptions, type LinkPorts, UpstreamLink } from './link.ts';
export type { DesiredChange, LinkStatus, MethodAnswer, MethodCall, OutgoingMessage } from './ports.ts';
