// Who is connected to this gateway, as `$edgeHub` reports it: the `clients` block of its twin.
//
//   "gw1/pump": { "status": "Connected", "lastConnectedTimeUtc": "…", "lastDisconnectedTimeUtc": "…" }
//
// Keys are identity keys with `.`, `$` and blank escaped, because twin names cannot hold them; the slash stays, as
// Azure's edgeHub writes it. A module that leaves turns Disconnected; one that is no longer deployed is forgotten. A
// device that leaves loses its entry. The block begins empty with each start of the runtime, like Azure's.
//
// With hundreds of clients the block would grow over what a twin holds, and nothing at all could be reported. Beyond
// `clientsReportBytesMax` entries are left out, first those of who left longest ago, then of who came longest ago.

import { clientsReportBytesMax } from '../limits.ts';
import { edgeHubId, type Identity, identityKey } from '../model/address.ts';
import type { JsonObject } from '../model/json.ts';
import { twinBytes } from '../model/twin-rules.ts';

interface Presence {
  status: 'Connected' | 'Disconnected';
  changedMs: number;
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
    entry.changedMs = this.#nowMs();
    entry.lastConnectedTimeUtc = timeText(entry.changedMs);
    this.#changed();
  }

  disconnected(identity: Identity): void {
    if (identity.moduleId === edgeHubId) return;
    if (identity.moduleId === undefined) {
      this.forget(identity);
      return;
    }
    const entry = this.#entry(identity);
    entry.status = 'Disconnected';
    entry.changedMs = this.#nowMs();
    entry.lastDisconnectedTimeUtc = timeText(entry.changedMs);
    this.#changed();
  }

  forget(identity: Identity): void {
    if (this.#presence.delete(clientKey(identity))) this.#changed();
  }

  /** Undefined when nobody has been here. */
  report(): JsonObject | undefined {
    if (this.#presence.size === 0) return undefined;
    let bytes = 0;
    const shown = new Set<string>();
    for (const [key, presence] of [...this.#presence].sort(([, a], [, b]) => weight(b) - weight(a))) {
      bytes += twinBytes({ [key]: entryOf(presence) });
      if (bytes > clientsReportBytesMax) break;
      shown.add(key);
    }
    const entries = [...this.#presence].filter(([key]) => shown.has(key));
    return Object.fromEntries(entries.map(([key, presence]) => [key, entryOf(presence)]));
  }

  #entry(identity: Identity): Presence {
    const key = clientKey(identity);
    let entry = this.#presence.get(key);
    if (entry === undefined) {
      entry = { status: 'Disconnected', changedMs: 0 };
      this.#presence.set(key, entry);
    }
    return entry;
  }
}

/** Whoever is here comes before whoever is not, the latest first. */
function weight({ status, changedMs }: Presence): number {
  return changedMs + (status === 'Connected' ? Number.MAX_SAFE_INTEGER / 2 : 0);
}

function entryOf({ changedMs: _, ...entry }: Presence): JsonObject {
  return entry;
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}

function clientKey(identity: Identity): string {
  return identityKey(identity).replaceAll('.', '%2E').replaceAll('$', '%24').replaceAll(' ', '%20');
}
