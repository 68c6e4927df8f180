// How long to wait before the next attempt: exponential with full jitter, as a pure iterator of delays.
//
// Full jitter (a uniform draw from zero to the ceiling) spreads a thousand gateways that lost the same hub;
// the floor keeps a refused connection from becoming a busy loop. A fresh iterator is a reset.

export interface BackoffOptions {
  readonly floorMs: number;
  readonly firstCeilingMs: number;
  readonly ceilingMsMax: number;
}

export function* backoffDelays(options: BackoffOptions, fraction: () => number): Generator<number, never, void> {
  let ceilingMs = options.firstCeilingMs;
  for (;;) {
    yield Math.max(options.floorMs, Math.round(fraction() * ceilingMs));
    ceilingMs = Math.min(options.ceilingMsMax, ceilingMs * 2);
  }
}
