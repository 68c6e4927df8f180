// When something happened, said so that it stays true on a machine without a real-time clock.
//
// The monotonic clock counts from the boot of the machine and never jumps, but says nothing across boots; the
// wall clock says the hour, but only once somebody has set it. A stamp keeps both, and the boot it belongs to:
// two stamps of one boot are exactly `monotonicMs` apart, and once the wall time of any instant of that boot is
// known (`trusted`), that of every other instant follows, also of those that were stamped before it was known.

export interface TimeStamp {
  /** Milliseconds since 1970 UTC, as the machine's clock said. */
  readonly wallMs: number;
  /** Milliseconds since the boot of the machine (CLOCK_MONOTONIC). */
  readonly monotonicMs: number;
  /** The kernel's name of this boot (/proc/sys/kernel/random/boot_id), or any text unique to it. */
  readonly bootId: string;
  /** True when the wall clock is known to be right: synchronised, or kept by a real-time clock. */
  readonly trusted: boolean;
}
