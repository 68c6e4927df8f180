// Who is connected to this gateway, as `$edgeHub` reports it: the `clients` block of its twin.
//
//   "gw1/pump": { "status": "Connected", "lastConnectedTimeUtc": "…", "lastDisconnectedTimeUtc": "…" }
//
// Keys are identity keys with `.`, `$` and blank escaped, because twin names cannot hold them; the slash stays, as
// Azure's edgeHub writes it. A module that leaves turns Disconnected; one that is no longer deployed is forgotten.
// The block begins empty with each start of the runtime, like Azure's.

import { edgeHubId, type Identity, identityKey } from '../model/address.ts';
import type { JsonObject } from '../model/json.ts';

interface Presence {
  status: 'Connected' | 'Disconnected';
  lastConnectedTimeUtc?: string;
  lastDisconnectedTimeUtc?: string;
}

export class Clients {
  readonly #nowMs: () => number;
  readonly #presence = new Map<string, Presence>();
  #changed: () => void = () => undefined;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** The one who is told after every change. */
  onChange(listener: () => void): void {
    this.#changed = listener;
  }

  connected(identity: Identity): void {
    if (identity.moduleId === edgeHubId) return;
    const entry = this.#entry(identity);
    entry.status = 'Connected';
    entry.lastConnectedTimeUtc = this.#now();
    this.#changed();
  }

  disconnected(identity: Identity): void {
    if (identity.moduleId === edgeHubId) return;
    const entry = this.#entry(identity);
    entry.status = 'Disconnected';
    entry.lastDisconnectedTimeUtc = this.#now();
    this.#changed();
  }

  forget(identity: Identity): void {
    if (this.#presence.delete(clientKey(identity))) this.#changed();
  }

  report(): JsonObject {
    return Object.fromEntries([...this.#presence].map(([key, presence]) => [key, { ...presence }]));
  }

  #entry(identity: Identity): Presence {
    const key = clientKey(identity);
    let entry = this.#presence.get(key);
    if (entry === undefined) {
      entry = { status: 'Disconnected' };
      this.#presence.set(key, entry);
    }
    return entry;
  }

  #now(): string {
    return new Date(this.#nowMs()).toISOString();
  }
}

function clientKey(identity: Identity): string {
  return identityKey(identity).replaceAll('.', '%2E').replaceAll('$', '%24').replaceAll(' ', '%20');
}
