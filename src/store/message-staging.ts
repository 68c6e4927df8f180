// The messages of one commit, from the buffer they crossed in to the outbox.
//
// Owns the decoding of commit.bytes (thread-protocol.ts has its bytes) and what becomes of each message: stored, a
// repetition, refused, or held because an earlier one of its stream was refused. Nothing here writes: the outbox
// stages, engine.ts commits.

import { strict as assert } from 'node:assert';
import { Buffer } from 'node:buffer';
import { storeTargetsMax } from '../limits.ts';
import type { Lane } from '../model/lane.ts';
import { ByteReader } from './byte-buffer.ts';
import type { Outbox } from './outbox/index.ts';
import { readHop, shiftEnqueued } from './record.ts';
import { type CommitSpec, outcome } from './thread-protocol.ts';

export interface Staged {
  readonly outcomes: Uint8Array;
  /** Indexes of the lanes that got a message. */
  readonly appended: readonly number[];
  /** Streams of messages that were refused. */
  readonly refused: readonly string[];
}

interface Work {
  readonly lanes: readonly Lane[];
  readonly appended: Set<number>;
  /** Streams that take nothing more in this commit, and those of them of which it refused a message itself. */
  readonly held: Set<string>;
  readonly refused: Set<string>;
  readonly step: { readonly offsetMs: number; readonly stepMs: number } | undefined;
}

/** Stages all messages of a commit. */
export function stageMessages(outbox: Outbox, spec: CommitSpec): Staged {
  const { stamp, wallStepMs } = spec;
  const outcomes = new Uint8Array(spec.count);
  const work: Work = {
    lanes: spec.lanes,
    appended: new Set(),
    held: new Set(spec.held),
    refused: new Set(),
    step:
      wallStepMs === 0 ? undefined : { offsetMs: stamp.wallMs - stamp.monotonicMs - wallStepMs, stepMs: wallStepMs },
  };
  const reader = new ByteReader(Buffer.from(spec.bytes, 0, spec.byteLength));
  for (let index = 0; index < spec.count; index++) outcomes[index] = stageOne(outbox, reader, work);
  assert(reader.remaining === 0, 'a commit holds exactly the messages it says');
  return { outcomes, appended: [...work.appended], refused: [...work.refused] };
}

function stageOne(outbox: Outbox, reader: ByteReader, work: Work): number {
  const { lanes, appended, held, refused, step } = work;
  const indexes: number[] = [];
  const targets: { lane: Lane; timeToLiveMs: number | undefined }[] = [];
  const count = reader.varint();
  assert(count > 0 && count <= storeTargetsMax, 'a message has targets');
  for (let left = count; left > 0; left--) {
    const index = reader.varint();
    const timeToLiveMs = reader.float64();
    const lane = lanes[index];
    assert(lane !== undefined, 'a target names a lane of its commit');
    indexes.push(index);
    targets.push({ lane, timeToLiveMs: Number.isNaN(timeToLiveMs) ? undefined : timeToLiveMs });
  }
  const record = reader.bytes(reader.uint32());
  const hop = readHop(record);
  if (hop !== undefined && held.has(hop.stream)) return outcome.held;
  if (step !== undefined) shiftEnqueued(record, step);
  const became = outbox.append({ targets, record, hop });
  if (became === outcome.stored) for (const index of indexes) appended.add(index);
  else if (became === outcome.refused && hop !== undefined) {
    held.add(hop.stream);
    refused.add(hop.stream);
  }
  return became;
}
