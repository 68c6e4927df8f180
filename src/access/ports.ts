// What access control answers, in its own words: the broker's authenticator and authoriser are met by their shape.
//
// Everything about files, time and randomness comes in as a parameter; passwords are hashed on Node's thread pool.

import type { Clock } from '../platform/clock.ts';
import type { Disk } from '../platform/disk.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Log } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';

export interface AccessPorts {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly entropy: Entropy;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** A client that wants to connect. */
export interface Attempt {
  readonly clientId: string;
  readonly username: string | undefined;
  readonly password: Uint8Array | undefined;
  /** Name of the listener it came through. */
  readonly listener: string;
  /** `address:port`, or `unix:path`. */
  remote(): string;
  /** Common name of the client certificate that TLS has verified. */
  readonly certificateName?: string | undefined;
}

/** Whom the rules are about. A client that gave no user name is anonymousName. */
export interface Subject {
  readonly name: string;
  /** For `%c`; rules with it hold for nobody while it is unknown. */
  readonly clientId?: string | undefined;
}

export type Decision =
  | {
      readonly admitted: true;
      readonly principal: { readonly name: string; readonly clientId: string; readonly identity: undefined };
      readonly expiresAtMs: undefined;
    }
  | {
      readonly admitted: false;
      readonly reason: 'unavailable' | 'bad-credentials' | 'not-authorized';
      readonly detail: string;
    };

/** In brackets, which are refused in the name of a user: nobody can claim to be nobody. */
export const anonymousName = '(anonymous)';
