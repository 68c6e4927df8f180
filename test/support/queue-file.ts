// Queue files as a gateway makes them, for tests that need one with a flaw of their choice.

import { DeviceKey } from '../../src/identity/index.ts';
import { priorityUnset } from '../../src/model/lane.ts';
import type { Message } from '../../src/model/message.ts';
import {
  encodeSegmentHeader,
  encodeSegmentMessage,
  type SegmentFacts,
  saltBytes,
} from '../../src/protocol/queue-file/index.ts';
import { seededEntropy } from './sim-entropy.ts';

const entropy = seededEntropy(77);

/** The messages stand at the offsets behind `after`, one by one, unless `facts` says otherwise. */
export function queueFile(keyBase64: string, messages: readonly Message[], facts: Partial<SegmentFacts> = {}): Buffer {
  const key = new DeviceKey(keyBase64);
  const after = facts.after ?? 0;
  const plain = Buffer.concat(messages.map((message, index) => encodeSegmentMessage(after + 1 + index, message)));
  const salt = entropy.bytes(saltBytes);
  const header = encodeSegmentHeader(
    {
      deviceId: 'gw',
      epoch: 'e1',
      stream: 'e1.1',
      queue: '$upstream',
      priority: priorityUnset,
      live: false,
      gone: 0,
      after,
      first: after + 1,
      last: after + messages.length,
      messages: messages.length,
      createdMs: 0,
      ...facts,
    },
    { salt, proof: key.sealProof(salt), bodyBytes: plain.length + key.sealTagBytes },
  );
  return Buffer.concat([header, key.seal(plain, { salt, associated: header })]);
}
