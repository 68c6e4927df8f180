// The gateway's HTTP interface for its modules: what Azure's clients ask on port 443 beside MQTT over WebSocket.

export { GatewayApi, type GatewayApiPorts } from './api.ts';
export type { Call, CallAnswer } from './ports.ts';
