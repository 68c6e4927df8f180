// Every hard ceiling of weir: with its unit, why it has this size, and how it stands to its neighbours.
//
// Ceilings are code, not settings. What an operator may set is in config/, and is checked against these.

import { strict as assert } from 'node:assert';

// ── IoT Hub's own limits (Microsoft's published quotas): unmodified clients expect exactly these ──

/** Body plus all property names and values of one message. */
export const messageBytesMax = 262_144;
/** Desired or reported section of one twin, as JSON without white space. */
export const twinSectionBytesMax = 32_768;
/** Request or response payload of one direct method. */
export const methodPayloadBytesMax = 131_072;

// ── local HTTP sockets (admin, workload, hub service API) ──

/** One request body on a local socket: a deployment manifest is the largest thing anybody sends. */
export const httpBodyBytesMax = 4_194_304;

assert(twinSectionBytesMax <= messageBytesMax, 'a twin section travels as one message');
assert(messageBytesMax <= httpBodyBytesMax, 'whatever fits a message fits a request');
