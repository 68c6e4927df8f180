// What twins need from outside: a place that keeps them, and the hub when it is there.

import type { Identity } from '../model/address.ts';
import type { JsonObject } from '../model/json.ts';
import type { Twin } from '../model/twin.ts';

export interface TwinRecord {
  /** Identity key: `device` or `device/module`. */
  readonly key: string;
  readonly twin: Twin;
}

export interface TwinTable {
  twins(): Promise<readonly TwinRecord[]>;
  /** Resolves when the record is on stable storage. */
  saveTwin(record: TwinRecord): Promise<void>;
  deleteTwin(key: string): Promise<void>;
}

export interface TwinSource {
  readonly connected: boolean;
  twin(identity: Identity): Promise<Twin>;
  patchReported(identity: Identity, patch: JsonObject): Promise<number | undefined>;
}
