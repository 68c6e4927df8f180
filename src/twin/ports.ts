// What twins need from outside: a place that keeps them, and the hub when it is there.

import type { Identity } from '../model/address.ts';
import type { JsonObject } from '../model/json.ts';
import type { Twin, TwinSection } from '../model/twin.ts';

export interface TwinRecord {
  /** Identity key: `device` or `device/module`. */
  readonly key: string;
  readonly twin: Twin;
  /** The desired properties that their owner may have seen last; empty: none. */
  readonly seen?: readonly TwinSection[] | undefined;
}

export interface TwinTable {
  twins(): Promise<readonly TwinRecord[]>;
  /** Resolves when the record is on stable storage. Calls for one key take effect in their order. */
  saveTwin(record: TwinRecord): Promise<void>;
  deleteTwin(key: string): Promise<void>;
}

export interface TwinSource {
  readonly connected: boolean;
  twin(identity: Identity): Promise<Twin>;
  /** Resolves with the new version at the hub when it tells. */
  patchReported(identity: Identity, patch: JsonObject): Promise<number | undefined>;
}
