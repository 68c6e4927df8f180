// The device's copy of every twin: serve, merge, synchronise.

export { type NoticeBoard, Notices } from './notices.ts';
export type { TwinRecord, TwinSource, TwinTable } from './ports.ts';
export { type DesiredNews, type LocalDesired, TwinCache } from './twin-cache.ts';
export { TwinSync } from './twin-sync.ts';
