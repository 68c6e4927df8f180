// Messages for tests: numbered, small, recognisable.

import type { Message } from '../../src/model/message.ts';

export function numberedMessage(sequence: number, over: Partial<Message> = {}): Message {
  return {
    sender: { deviceId: 'gateway', moduleId: 'modbus' },
    output: 'readings',
    system: { messageId: `m-${sequence}`, contentType: 'application/json' },
    properties: { sequenceNumber: String(sequence) },
    body: Buffer.from(JSON.stringify({ sequence })),
    enqueuedMs: Date.UTC(2026, 0, 1) + sequence,
    ...over,
  };
}

export function sequenceOf(message: Message): number {
  return Number(message.properties['sequenceNumber']);
}
