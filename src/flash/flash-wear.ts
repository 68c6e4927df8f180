// The account of what the runtime costs its storage: looks each minute, tells, and lets commits wait when it is too much.
//
//   /proc/self/io, <disk>/stat ─► WearLedger ─► bytes a day ─┐
//   life_time, pre_eol_info ──────► rises ──────────────────►┴ projectLife ─► years ─► sparingDelayMs ─► store
//
// Looking writes nothing. The ledger is noted as a state document of the store once an hour, when something was written
// since, and at the end: some pages a time. After a power cut up to an hour of the account is missing.
//
// Where files are cached in large pieces (large folios: XFS, and ext4 from Linux 6.16) the kernel counts a whole piece for
// each byte changed in it: up to 256 KiB for a message. Written back is what changed. So no more counts than what the
// device got, of which others have their part; what was counted a look before its way to the device is carried over.
//
// Nothing here fails: what the kernel does not tell is unknown, and a store that takes no note is asked an hour later.

import { flashCommitDelayMsMax } from '../limits.ts';
import { errorMessage } from '../model/errors.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Disk } from '../platform/disk.ts';
import type { Log } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';
import { blockPath, findBlockDevice, kernelText, readRegisters, type WearRegisters } from './block-device.ts';
import { type PreEol, parseDeviceBytes, parseWrittenBytes } from './kernel-text.ts';
import type { WearStore } from './ports.ts';
import { type LifeProjection, projectLife, sparingDelayMs } from './projection.ts';
import { WearLedger } from './wear-ledger.ts';

export interface FlashWearPorts {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly store: WearStore;
}

export interface FlashWearOptions {
  /** The one on whose device it all is. */
  readonly directory: string;
  /** Of the device, by its data sheet; undefined: not known. */
  readonly enduranceBytes: number | undefined;
  /** Below so many years commits wait longer; 0: never. */
  readonly lifeYears: number;
  /** How long they wait otherwise. */
  readonly commitDelayMs: number;
}

/** Null is "unknown". */
export interface FlashFacts {
  /** Below /sys/class/block. */
  readonly device: string | null;
  readonly kind: 'eMMC' | 'SD card' | null;
  /** By this runtime: since it first ran on this device, and a day. */
  readonly writtenBytes: number | null;
  readonly bytesPerDay: number | null;
  /** By everybody, to the whole device. */
  readonly deviceBytesPerDay: number | null;
  /** Bytes written for each byte of messages and MQTT state taken. */
  readonly amplification: number | null;
  /** Percent of the device's life, by its register; 100 to 100: more than all of it. */
  readonly lifeUsed: { readonly from: number; readonly to: number } | null;
  readonly preEol: PreEol | null;
  readonly lifeYears: number | null;
  readonly lifeBasis: LifeProjection['basis'] | null;
  /** To which the longest wait of commits is lengthened; null: it is not. */
  readonly sparingDelayMs: number | null;
}

const sampleIntervalMs = 60_000;
const noteIntervalMs = 3_600_000;
const documentKey = 'flash-wear';
const noRegisters: WearRegisters = { identity: '', kind: undefined, lifeStep: undefined, preEol: undefined };
const percentPerStep = 10;
const wholePercent = 100;

/** Counters of the kernel at the last look. */
interface Readings {
  readonly atMs: number;
  readonly written: number;
  /** Where the kernel keeps no account of it, `written` stays as it is and means nothing. */
  readonly isTold: boolean;
  readonly deviceWritten: number | undefined;
  readonly accepted: number;
}

export class FlashWear {
  readonly #ports: FlashWearPorts;
  readonly #options: FlashWearOptions;
  #device: string | undefined;
  #registers = noRegisters;
  #ledger = new WearLedger('');
  #last: Readings;
  #reachedBytes = 0;
  #carriedBytes = 0;
  #notedAtMs: number;
  #notedWritten = 0;
  #sparing: number | undefined;
  #timer: Timer | undefined;
  #looking: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(ports: FlashWearPorts, options: FlashWearOptions) {
    const nowMs = ports.clock.monotonicMs();
    this.#ports = ports;
    this.#options = options;
    this.#notedAtMs = nowMs;
    // The process began with 0 written; the device was there before.
    this.#last = {
      atMs: nowMs,
      written: 0,
      isTold: false,
      deviceWritten: undefined,
      accepted: ports.store.acceptedBytes,
    };
  }

  /** Finds the device and goes on with its account. */
  async start(): Promise<void> {
    const { disk, store, log, metrics } = this.#ports;
    this.#device = await findBlockDevice(disk, this.#options.directory);
    if (this.#device !== undefined) this.#registers = await readRegisters(disk, this.#device);
    const text = await store.state(documentKey).catch((error: unknown) => {
      log.warn('the account of what was written to flash begins anew', { reason: errorMessage(error) });
      return undefined;
    });
    this.#ledger = new WearLedger(this.#registers.identity, text);
    await this.#look();
    if (this.#last.isTold) metrics.gauge('weir_flash_written_bytes_total', () => this.#reachedBytes);
    this.#lookLater();
  }

  /** Notes the account. Before the store is closed. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    await this.#looking;
    await this.#look();
    await this.#note();
  }

  facts(): FlashFacts {
    const { kind, lifeStep, preEol } = this.#registers;
    const { isTold } = this.#last;
    const life = this.#projection;
    return {
      device: this.#device ?? null,
      kind: kind ?? null,
      writtenBytes: isTold ? this.#ledger.written : null,
      bytesPerDay: isTold ? rounded(this.#ledger.writtenPerDay) : null,
      deviceBytesPerDay: this.#last.deviceWritten === undefined ? null : rounded(this.#ledger.deviceWrittenPerDay),
      amplification: isTold ? (this.#ledger.amplification ?? null) : null,
      lifeUsed: lifeStep === undefined ? null : usedPercent(lifeStep),
      preEol: preEol ?? null,
      lifeYears: life?.years ?? null,
      lifeBasis: life?.basis ?? null,
      sparingDelayMs: this.#sparing ?? null,
    };
  }

  get #projection(): LifeProjection | undefined {
    const ledger = this.#ledger;
    const byDevice = this.#last.deviceWritten !== undefined;
    return projectLife({
      lifeStep: this.#registers.lifeStep,
      rises: ledger.rises,
      watchedMs: ledger.watchedMs,
      enduranceBytes: this.#options.enduranceBytes,
      bytesPerDay: byDevice ? ledger.deviceWrittenPerDay : this.#last.isTold ? ledger.writtenPerDay : undefined,
      bytesSeen: byDevice ? ledger.deviceWritten : ledger.written,
    });
  }

  #lookLater(): void {
    if (this.#closed) return;
    this.#timer = this.#ports.clock.setTimer(
      sampleIntervalMs,
      () => {
        this.#looking = this.#round();
      },
      { background: true },
    );
  }

  async #round(): Promise<void> {
    await this.#look();
    if (this.#ports.clock.monotonicMs() - this.#notedAtMs >= noteIntervalMs) {
      if (this.#device !== undefined) this.#registers = await readRegisters(this.#ports.disk, this.#device);
      await this.#note();
    }
    this.#lookLater();
  }

  async #look(): Promise<void> {
    const { disk, clock, store } = this.#ports;
    const [io, stat] = await Promise.all([
      kernelText(disk, '/proc/self/io'),
      this.#device === undefined ? undefined : kernelText(disk, `${blockPath(this.#device)}/stat`),
    ]);
    const written = parseWrittenBytes(io ?? '');
    const before = this.#last;
    const now: Readings = {
      atMs: clock.monotonicMs(),
      written: Math.max(before.written, written ?? 0),
      isTold: written !== undefined,
      deviceWritten: parseDeviceBytes(stat ?? ''),
      accepted: store.acceptedBytes,
    };
    this.#last = now;
    const isWatched = now.deviceWritten !== undefined && before.deviceWritten !== undefined;
    const byDevice = isWatched ? Math.max(0, now.deviceWritten - before.deviceWritten) : undefined;
    const reached = this.#reached(now.written - before.written, byDevice);
    this.#reachedBytes += reached;
    this.#ledger.add({
      elapsedMs: Math.max(0, now.atMs - before.atMs),
      written: reached,
      deviceWritten: byDevice,
      accepted: now.accepted - before.accepted,
    });
    if (this.#registers.lifeStep !== undefined) this.#ledger.sawStep(this.#registers.lifeStep);
    this.#tell();
    this.#spare();
  }

  /** Of what the kernel counted for this process, what can have come to the device. */
  #reached(counted: number, byDevice: number | undefined): number {
    if (byDevice === undefined) return counted;
    const due = counted + this.#carriedBytes;
    const reached = Math.min(due, byDevice);
    // Dirty pages leave within half a minute: what is older was never on its way.
    this.#carriedBytes = Math.min(counted, due - reached);
    return reached;
  }

  /** A figure becomes a metric when it is known. */
  #tell(): void {
    const { bytesPerDay, deviceBytesPerDay, amplification, lifeYears, lifeUsed } = this.facts();
    const figures: readonly (readonly [string, number | null])[] = [
      ['weir_flash_bytes_per_day', bytesPerDay],
      ['weir_flash_device_bytes_per_day', deviceBytesPerDay],
      ['weir_flash_write_amplification', amplification],
      ['weir_flash_life_years', lifeYears],
      ['weir_flash_life_used_percent', lifeUsed?.to ?? null],
    ];
    for (const [name, value] of figures) if (value !== null) this.#ports.metrics.gauge(name, () => value);
  }

  /** Told when it sets in and when it is over, not when it changes. */
  #spare(): void {
    const { lifeYears: yearsMin, commitDelayMs } = this.#options;
    const years = this.#projection?.years;
    const before = this.#sparing;
    const delayMs = sparingDelayMs({ years, yearsMin, delayMs: commitDelayMs, isOn: before !== undefined });
    if (delayMs === before) return;
    this.#sparing = delayMs;
    this.#ports.store.lengthenCommits(delayMs);
    const fields = { event: 'flash', device: this.#device, yearsLeft: years?.toFixed(1), yearsWanted: yearsMin };
    if (before === undefined)
      this.#ports.log.warn('the flash would wear out too early: commits wait longer for company', {
        ...fields,
        delayMs,
        delayMsMax: flashCommitDelayMsMax,
      });
    else if (delayMs === undefined)
      this.#ports.log.info('the flash will last long enough: commits wait as configured', fields);
  }

  async #note(): Promise<void> {
    this.#notedAtMs = this.#ports.clock.monotonicMs();
    const written = this.#last.isTold ? this.#ledger.written : this.#ledger.deviceWritten;
    if (written === this.#notedWritten) return;
    this.#notedWritten = written;
    try {
      await this.#ports.store.saveState(documentKey, this.#ledger.text());
    } catch (error) {
      this.#ports.log.debug('the account of flash cannot be noted', { reason: errorMessage(error) });
    }
  }
}

function usedPercent(step: number): { readonly from: number; readonly to: number } {
  const to = Math.min(wholePercent, step * percentPerStep);
  return { from: Math.min(wholePercent, (step - 1) * percentPerStep), to };
}

function rounded(value: number | undefined): number | null {
  return value === undefined ? null : Math.round(value);
}
