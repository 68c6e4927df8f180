// The link to the cloud: state machine, transport, back-off; an endpoint like any other.

export { UpstreamLink, type LinkOptions, type LinkPorts } from './link.ts';
export type { DesiredChange, LinkStatus, MethodAnswer, MethodCall, OutgoingMessage } from './ports.ts';
