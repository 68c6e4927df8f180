// The door of agent-methods/: the direct methods of `$edgeAgent`, and the support bundle that one of them uploads.

export { AgentMethods, type AgentMethodsPorts } from './agent-methods.ts';
export { AgentMethodError } from './errors.ts';
export type { LogQuestion, MethodAnswer, MethodCall } from './ports.ts';
export { supportBundle } from './support-bundle.ts';
