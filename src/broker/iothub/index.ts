// The door of IoT Hub's device protocol, spoken on the broker's topics.

export { IotHubError } from './errors.ts';
export { IotHubFront, type IotHubFrontPorts } from './front.ts';
export { ModuleInput } from './module-input.ts';
export type { DeviceBackend } from './ports.ts';
export type { MethodAnswer, MethodCall } from './speaker.ts';
