// A RouterStore in memory with the same contract as the real one (test/contract/router-store.test.ts runs on both).
//
// Everything is durable at once; `restart()` is the restart of the process above it: listeners are gone, floors
// of confirmations that were not "committed" come back when `loseConfirms` is set.

import type { Message } from '../../src/model/message.ts';
import type { RouterStore, StoredMessage } from '../../src/router/ports.ts';

interface Row extends StoredMessage {
  readonly expiresAtMs: number | undefined;
}

export class MemoryStore implements RouterStore {
  epoch = 'epoch-1';
  readonly #nowMs: () => number;
  readonly #rows = new Map<string, Row[]>();
  readonly #next = new Map<string, number>();
  readonly #streams = new Map<string, number>();
  #listeners = new Set<(queue: string) => void>();
  /** Thrown by the next call of that name. */
  readonly failures: { name: 'append' | 'read' | 'confirm'; error: Error }[] = [];
  reads = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  async append(
    message: Message,
    targets: readonly { readonly queue: string; readonly expiresAtMs: number | undefined }[],
  ): Promise<'stored' | 'duplicate'> {
    await this.#failing('append');
    const { hop } = message;
    if (hop !== undefined) {
      if (hop.sequence <= (this.#streams.get(hop.stream) ?? 0)) return 'duplicate';
      this.#streams.set(hop.stream, hop.sequence);
    }
    for (const { queue, expiresAtMs } of targets) {
      const offset = this.#next.get(queue) ?? 1;
      this.#next.set(queue, offset + 1);
      this.#rows.set(queue, [...(this.#rows.get(queue) ?? []), { offset, message, expiresAtMs }]);
    }
    for (const queue of new Set(targets.map((target) => target.queue)))
      for (const listener of this.#listeners) listener(queue);
    return 'stored';
  }

  async read(
    queue: string,
    from: { readonly afterOffset: number; readonly messagesMax: number; readonly bytesMax: number },
  ): Promise<readonly StoredMessage[]> {
    this.reads++;
    await this.#failing('read');
    const alive = (this.#rows.get(queue) ?? []).filter(
      ({ expiresAtMs }) => expiresAtMs === undefined || expiresAtMs > this.#nowMs(),
    );
    this.#rows.set(queue, alive);
    const found: StoredMessage[] = [];
    let bytes = 0;
    for (const { offset, message } of alive.filter((row) => row.offset > from.afterOffset)) {
      if (found.length >= from.messagesMax) break;
      if (found.length > 0 && bytes + message.body.byteLength > from.bytesMax) break;
      found.push({ offset, message });
      bytes += message.body.byteLength;
    }
    return found;
  }

  async confirm(queue: string, offset: number): Promise<void> {
    this.#rows.set(
      queue,
      (this.#rows.get(queue) ?? []).filter((row) => row.offset > offset),
    );
    await this.#failing('confirm');
  }

  onAppended(listener: (queue: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** The file was damaged and a fresh one took its place. */
  renew(epoch: string): void {
    this.epoch = epoch;
    this.#rows.clear();
    this.#next.clear();
  }

  waiting(queue: string): number {
    return this.#rows.get(queue)?.length ?? 0;
  }

  async #failing(name: 'append' | 'read' | 'confirm'): Promise<void> {
    await Promise.resolve();
    const index = this.failures.findIndex((failure) => failure.name === name);
    if (index !== -1) throw (this.failures.splice(index, 1)[0] as { error: Error }).error;
  }
}
