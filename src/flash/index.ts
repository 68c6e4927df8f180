// The door of flash: what the runtime costs the storage under its data directory, and how long that will last.

export { findBlockDevice, readRegisters, type WearRegisters } from './block-device.ts';
export { type FlashFacts, FlashWear } from './flash-wear.ts';
