// Which images weir has pulled, and when each was last wanted: what may be removed again. Everything else on the engine
// belongs to somebody else and is never touched.
//
//   containers.images   {"<reference or sha256:…>": {"id":"sha256:…","usedAtMs":1763…}, …}
//
// Owns the record alone; image-store.ts asks the engine.

import { pulledImagesMax } from '../limits.ts';
import { isJsonObject, parseJson } from '../model/json.ts';
import type { ContainersMemory } from './ports.ts';

export interface PulledImage {
  readonly key: string;
  readonly id: string;
  readonly usedAtMs: number;
}

const stateKey = 'containers.images';

export class ImageLedger {
  readonly #memory: ContainersMemory;
  #entries: Map<string, PulledImage> | undefined;

  constructor(memory: ContainersMemory) {
    this.#memory = memory;
  }

  async entries(): Promise<readonly PulledImage[]> {
    return [...(await this.#read()).values()];
  }

  /**
   * The image came with a pull just now. One that was here before, and not by us, stays its owner's. An image that lost
   * its name to a newer one is kept in the record by its id.
   */
  async pulled(
    reference: string,
    { id, idBefore, nowMs }: { readonly id: string; readonly idBefore: string | undefined; readonly nowMs: number },
  ): Promise<void> {
    const entries = await this.#read();
    const known = entries.get(reference);
    if (known === undefined && idBefore === id) return;
    if (known !== undefined && known.id !== id) entries.set(known.id, { ...known, key: known.id });
    entries.set(reference, { key: reference, id, usedAtMs: nowMs });
    await this.#write(entries);
  }

  async used(references: readonly string[], nowMs: number): Promise<void> {
    const entries = await this.#read();
    const found = references.flatMap((reference) => entries.get(reference) ?? []);
    for (const entry of found) entries.set(entry.key, { ...entry, usedAtMs: nowMs });
    if (found.length > 0) await this.#write(entries);
  }

  async forget(key: string): Promise<void> {
    const entries = await this.#read();
    if (entries.delete(key)) await this.#write(entries);
  }

  async #read(): Promise<Map<string, PulledImage>> {
    if (this.#entries !== undefined) return this.#entries;
    const text = await this.#memory.state(stateKey);
    const parsed = text === undefined ? undefined : parseJson(text);
    const entries = new Map<string, PulledImage>();
    if (parsed?.ok === true && isJsonObject(parsed.value)) {
      for (const [key, value] of Object.entries(parsed.value)) {
        if (!isJsonObject(value)) continue;
        const { id, usedAtMs } = value;
        if (typeof id === 'string' && typeof usedAtMs === 'number') entries.set(key, { key, id, usedAtMs });
      }
    }
    this.#entries ??= entries;
    return this.#entries;
  }

  async #write(entries: Map<string, PulledImage>): Promise<void> {
    const longestUnused = [...entries.values()].sort((a, b) => a.usedAtMs - b.usedAtMs);
    for (const entry of longestUnused.slice(0, Math.max(0, entries.size - pulledImagesMax))) entries.delete(entry.key);
    const plain = Object.fromEntries([...entries.values()].map(({ key, id, usedAtMs }) => [key, { id, usedAtMs }]));
    await this.#memory.saveState(stateKey, JSON.stringify(plain));
  }
}
