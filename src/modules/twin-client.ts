// A module's own twin: the desired section kept up to date, the reported section brought to the hub.
//
//   connected ─► GET ─► desired known ─► patches with version n+1 are merged; a gap means GET again
//   report(patch) ─► pending ──(after a short wait, one at a time)──► PATCH ─► 204: gone
//                       ▲───────────── time-out, 429, 5xx, lost link ──┘ composed back, sent again
//
// Reported patches are coalesced, so a module may report as often as it likes. A patch the other side finds
// wrong (400, 413 …) is given up and logged: repeating it cannot help. Sans I/O: the host brings the bytes.

import { moduleReportsPendingMax, moduleTwinRetryMsMax, moduleTwinTimeoutMs } from '../limits.ts';
import { isJsonObject, type JsonObject, parseJson } from '../model/json.ts';
import { composePatches, jsonEqual, mergePatch, withoutCarrierKeys } from '../model/twin.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { twinGetTopic, twinPatchTopic } from '../protocol/iothub/topics.ts';

export type TwinPublish = (message: { readonly topic: string; readonly payload: Uint8Array }) => void;

export interface TwinClientPorts {
  readonly clock: Clock;
  readonly log: Log;
  /** The whole desired section, after the first GET and after every change. */
  readonly onDesired: (desired: JsonObject) => void;
}

interface Request {
  readonly kind: 'get' | 'patch';
  readonly timer: Timer;
}

const coalesceMs = 200;
const retryMs = 1000;
const doublingsMax = 8;
const statusTooMany = 429;
const statusServerError = 500;

export class TwinClient {
  readonly #ports: TwinClientPorts;
  readonly #requests = new Map<string, Request>();
  #publish: TwinPublish | undefined;
  #desired: JsonObject | undefined;
  #version = 0;
  /** The last GET failed, or a patch was missed: the desired section may be out of date. */
  #isStale = false;
  /** Patches in the order of their reports, as few as say the same. Never empty ones. */
  #pending: JsonObject[] = [];
  #sent: JsonObject | undefined;
  #flushTimer: Timer | undefined;
  #retryTimer: Timer | undefined;
  #failures = 0;
  #lastRid = 0;

  constructor(ports: TwinClientPorts) {
    this.#ports = ports;
  }

  get desired(): JsonObject {
    return this.#desired ?? {};
  }

  /** A session is up and its subscriptions are granted. */
  up(publish: TwinPublish): void {
    this.#publish = publish;
    this.#get();
    this.#flushSoon(0);
  }

  /** The session ended: nothing under way will be answered. */
  down(): void {
    this.#publish = undefined;
    for (const { timer } of this.#requests.values()) timer.cancel();
    this.#requests.clear();
    this.#flushTimer?.cancel();
    this.#flushTimer = undefined;
    this.#retryTimer?.cancel();
    this.#retryTimer = undefined;
    this.#takeBack();
  }

  report(patch: JsonObject): void {
    if (Object.keys(patch).length === 0) return;
    const last = this.#pending.at(-1);
    const composed = last === undefined ? undefined : composePatches(last, patch);
    if (composed === undefined) this.#pending.push(patch);
    else this.#pending[this.#pending.length - 1] = composed;
    if (this.#pending.length > moduleReportsPendingMax) {
      this.#pending.shift();
      this.#ports.log.warn('too many reported patches wait for the hub; the oldest is given up', {
        waiting: moduleReportsPendingMax,
      });
    }
    this.#flushSoon(coalesceMs);
  }

  /** True while reported properties wait for the hub. */
  get isReporting(): boolean {
    return this.#sent !== undefined || this.#pending.length > 0;
  }

  /** Sends what is pending now; for an orderly end. */
  flush(): void {
    this.#flushTimer?.cancel();
    this.#flushTimer = undefined;
    if (this.#publish === undefined || this.#sent !== undefined) return;
    const next = this.#pending.shift();
    if (next === undefined) return;
    this.#sent = next;
    this.#request('patch', this.#sent);
  }

  desiredPatch(version: number, payload: Buffer): void {
    const patch = objectOf(payload);
    if (patch === undefined || this.#desired === undefined || version <= this.#version) return;
    if (version !== this.#version + 1) {
      this.#get();
      return;
    }
    this.#version = version;
    this.#adopt(mergePatch(this.#desired, withoutCarrierKeys(patch)));
  }

  response({ status, rid }: { readonly status: number; readonly rid: string }, payload: Buffer): void {
    const request = this.#requests.get(rid);
    if (request === undefined) return;
    this.#requests.delete(rid);
    request.timer.cancel();
    if (request.kind === 'get') this.#gotTwin(status, payload);
    else this.#patched(status, payload);
  }

  #gotTwin(status: number, payload: Buffer): void {
    const twin = objectOf(payload);
    const desired = twin?.['desired'];
    if (status >= 300 || !isJsonObject(desired)) {
      this.#ports.log.warn('the twin cannot be read, trying again', { status });
      this.#retry();
      return;
    }
    this.#failures = 0;
    this.#isStale = false;
    this.#version = typeof desired['$version'] === 'number' ? desired['$version'] : 0;
    this.#adopt(withoutCarrierKeys(desired));
  }

  #patched(status: number, payload: Buffer): void {
    if (status < 300) {
      this.#failures = 0;
      this.#sent = undefined;
      this.#flushSoon(coalesceMs);
    } else if (status === statusTooMany || status >= statusServerError) {
      this.#takeBack();
      this.#retry();
    } else {
      this.#ports.log.error('the hub refused reported properties; they are given up', {
        status,
        reason: payload.toString('utf8'),
      });
      this.#sent = undefined;
      this.#flushSoon(coalesceMs);
    }
  }

  #adopt(desired: JsonObject): void {
    if (this.#desired !== undefined && jsonEqual(this.#desired, desired)) return;
    this.#desired = desired;
    this.#ports.onDesired(desired);
  }

  #get(): void {
    this.#isStale = true;
    const isUnderWay = [...this.#requests.values()].some(({ kind }) => kind === 'get');
    if (!isUnderWay) this.#request('get', undefined);
  }

  #request(kind: 'get' | 'patch', patch: JsonObject | undefined): void {
    if (this.#publish === undefined) return;
    this.#lastRid += 1;
    const rid = String(this.#lastRid);
    const timer = this.#ports.clock.setTimer(moduleTwinTimeoutMs, () => {
      this.#requests.delete(rid);
      if (kind === 'patch') this.#takeBack();
      if (kind === 'get') this.#get();
      else this.flush();
    });
    this.#requests.set(rid, { kind, timer });
    // IoT Hub's SDKs send one blank as the body of a GET: an empty one is refused by some brokers.
    if (kind === 'get') this.#publish({ topic: twinGetTopic(rid), payload: Buffer.from(' ') });
    else this.#publish({ topic: twinPatchTopic(rid), payload: Buffer.from(JSON.stringify(patch)) });
  }

  /** What was sent and not confirmed is pending again, below what was reported since. */
  #takeBack(): void {
    if (this.#sent === undefined) return;
    const next = this.#pending[0];
    const composed = next === undefined ? undefined : composePatches(this.#sent, next);
    if (composed === undefined) this.#pending.unshift(this.#sent);
    else this.#pending[0] = composed;
    this.#sent = undefined;
  }

  #flushSoon(afterMs: number): void {
    if (this.#publish === undefined || this.#flushTimer !== undefined || this.#retryTimer !== undefined) return;
    if (this.#pending.length === 0 || this.#sent !== undefined) return;
    this.#flushTimer = this.#ports.clock.setTimer(afterMs, () => {
      this.#flushTimer = undefined;
      this.flush();
    });
  }

  /** One paced attempt at whatever is still to be done. */
  #retry(): void {
    if (this.#retryTimer !== undefined) return;
    const delayMs = Math.min(moduleTwinRetryMsMax, retryMs * 2 ** Math.min(this.#failures, doublingsMax));
    this.#failures += 1;
    this.#retryTimer = this.#ports.clock.setTimer(delayMs, () => {
      this.#retryTimer = undefined;
      if (this.#isStale) this.#get();
      this.flush();
    });
  }
}

function objectOf(payload: Buffer): JsonObject | undefined {
  const parsed = parseJson(payload.toString('utf8'));
  return parsed.ok && isJsonObject(parsed.value) ? parsed.value : undefined;
}
