// A twin table and a state table in memory, as the store keeps them on disk.

import type { TwinRecord, TwinTable } from '../../src/twin/index.ts';

export class MemoryTwins implements TwinTable {
  readonly records = new Map<string, TwinRecord>();
  failing = false;

  twins(): Promise<readonly TwinRecord[]> {
    return Promise.resolve([...this.records.values()]);
  }

  saveTwin(record: TwinRecord): Promise<void> {
    if (this.failing) return Promise.reject(new TypeError('the disk is full'));
    this.records.set(record.key, record);
    return Promise.resolve();
  }

  deleteTwin(key: string): Promise<void> {
    this.records.delete(key);
    return Promise.resolve();
  }
}

export class MemoryState {
  readonly values = new Map<string, string>();

  state(key: string): Promise<string | undefined> {
    return Promise.resolve(this.values.get(key));
  }

  saveState(key: string, value: string): Promise<void> {
    this.values.set(key, value);
    return Promise.resolve();
  }
}
