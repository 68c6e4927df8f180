// What the hub knows just now: the newest value of each tag, and since when.
//
// Fed by `weir hub monitor --json`, a process of its own that follows the hub's log; everything shown has made the
// whole way. Lines are read as a stream and not kept.

import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { isJsonObject, type JsonObject, type JsonValue } from '../../src/model/json.ts';
import type { HubEvent } from '../support/world/world.ts';
import { rtuDevice, sensorModule, tcpDevice } from './manifest.ts';

const places: readonly string[] = [tcpDevice, rtuDevice, sensorModule];

export interface TagRow {
  readonly device: string;
  readonly tag: string;
  readonly value: JsonValue;
  readonly quality: string;
  readonly sampledMs: number;
  readonly sequence: number;
}

export class Telemetry {
  readonly #rows = new Map<string, TagRow>();
  #messages = 0;

  /** Messages of the hub's log that were seen. */
  get messages(): number {
    return this.#messages;
  }

  /** By device, its tags in the order of the manifest. */
  get rows(): readonly TagRow[] {
    return [...this.#rows.values()].sort((left, right) => places.indexOf(left.device) - places.indexOf(right.device));
  }

  get newestMs(): number {
    return Math.max(0, ...this.rows.map(({ sampledMs }) => sampledMs));
  }

  take(event: HubEvent): void {
    this.#messages += 1;
    const body = event.body as JsonValue;
    if (!isJsonObject(body)) return;
    const sequence = Number(event.properties['sequenceNumber']);
    const { device, ts, values, timeCreated, machine, ambient } = body;
    if (isJsonObject(values)) {
      const sampledMs = Date.parse(String(ts));
      for (const [tag, sample] of Object.entries(values)) {
        if (!isJsonObject(sample)) continue;
        const quality = String(sample['q']);
        this.#keep({ device: String(device), tag, value: sample['v'] ?? null, quality, sampledMs, sequence });
      }
    } else if (isJsonObject(machine) && isJsonObject(ambient)) {
      const common = {
        device: event.moduleId ?? '',
        quality: 'good',
        sampledMs: Date.parse(String(timeCreated)),
        sequence,
      };
      this.#keep({ ...common, tag: 'temperature', value: rounded(machine, 'temperature') });
      this.#keep({ ...common, tag: 'pressure', value: rounded(machine, 'pressure') });
      this.#keep({ ...common, tag: 'ambient', value: rounded(ambient, 'temperature') });
    }
  }

  #keep(row: TagRow): void {
    this.#rows.set(`${row.device}/${row.tag}`, row);
  }
}

function rounded(object: JsonObject, name: string): number {
  return Math.round(Number(object[name]) * 100) / 100;
}

/** Follows a command's lines of JSON until close(). */
export class Follower {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  constructor(command: readonly string[], env: Readonly<Record<string, string>>, onEvent: (event: HubEvent) => void) {
    const [file = '', ...args] = command;
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, ...env } });
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once('close', () => resolve());
      child.once('error', () => resolve());
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.startsWith('{')) onEvent(JSON.parse(line) as HubEvent);
    });
  }

  async close(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL');
    await this.#ended;
  }
}
