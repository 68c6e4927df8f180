// The connection of a module to the local broker: token, dial, MQTT session, and all of it again after a loss.
//
//   waiting ──(back-off)──► token ──► dialling ──► session ──(lost, refused, token old)──► waiting
//
// Owns reaching the broker and nothing of what is said there: the host gets `onUp` with a live session and
// `onDown` when it is over, strictly alternating. It tries for ever; the broker is on this machine and comes back.
// A session is ended and begun anew before its token expires: MQTT 3.1.1 cannot renew a token in place.
//
// Attempts are paced until a session has lasted: a broker that takes connections and ends each with the first message,
// as on a full disk, is not stormed.

import {
  moduleInflightMax,
  moduleReconnectMsMax,
  moduleSessionMsMin,
  moduleTokenLifeMs,
  moduleTokenRenewMs,
} from '../limits.ts';
import { identityKey } from '../model/address.ts';
import { errorCode, errorMessage } from '../model/errors.ts';
import { pause } from '../model/pause.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Log } from '../platform/log.ts';
import type { Connection, Network } from '../platform/net.ts';
import { formatUsername } from '../protocol/iothub/username.ts';
import { MqttClient } from '../protocol/mqtt/client.ts';
import type { ModuleEnvironment } from './environment.ts';
import type { WorkloadClient } from './workload-client.ts';

export interface LinkMessage {
  readonly topic: string;
  readonly payload: Buffer;
}

export interface LinkEvents {
  onUp(session: MqttClient): void;
  onMessage(message: LinkMessage): void | Promise<void>;
  onDown(): void;
}

export interface LinkPorts {
  readonly network: Network;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly log: Log;
  readonly workload: WorkloadClient;
}

const keepAliveSeconds = 60;
const tickMs = 1000;
const dialTimeoutMs = 10_000;
const firstRetryMs = 200;
const msPerSecond = 1000;
/** More doublings than these are above the ceiling anyway. */
const doublingsMax = 16;

export class Link {
  readonly #ports: LinkPorts;
  readonly #env: ModuleEnvironment;
  readonly #events: LinkEvents;
  readonly #closing = new AbortController();
  #failures = 0;
  #running: Promise<void> | undefined;
  #hangUp: (() => void) | undefined;

  constructor(ports: LinkPorts, env: ModuleEnvironment, events: LinkEvents) {
    this.#ports = ports;
    this.#env = env;
    this.#events = events;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Says DISCONNECT and ends; idempotent. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#hangUp?.();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, entropy, log, workload } = this.#ports;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        const expirySeconds = Math.floor((clock.wallMs() + moduleTokenLifeMs) / msPerSecond);
        const password = await workload.token(expirySeconds, signal);
        if (!signal.aborted) await this.#session(password);
      } catch (error) {
        if (signal.aborted) return;
        this.#failures += 1;
        log.warn('the runtime is not reachable, trying again', {
          attempt: this.#failures,
          code: errorCode(error),
          reason: errorMessage(error),
        });
      }
      const ceilingMs = Math.min(moduleReconnectMsMax, firstRetryMs * 2 ** Math.min(this.#failures, doublingsMax));
      // After a session that lasted, the first attempt comes at once and only its failures are paced.
      if (this.#failures > 0) await pause(clock, ceilingMs * (0.5 + entropy.fraction() / 2), signal);
    }
  }

  /** One session from dialling to its end. Throws what made it end before it was up, or broke it. */
  async #session(password: string): Promise<void> {
    const { network, clock, log } = this.#ports;
    const timers = new Set<Timer>();
    let upSinceMs: number | undefined;
    let isOpen = false;
    let isRenewal = false;
    let failure: Error | undefined;
    const ended = new Promise<void>((resolve) => {
      const client = new MqttClient(
        {
          clientId: identityKey(this.#env.identity),
          username: formatUsername(this.#env.hubHostname, this.#env.identity),
          password,
          keepAliveSeconds,
          cleanSession: true,
          inflightMax: moduleInflightMax,
        },
        {
          send: (bytes) => void connection.write(bytes),
          close: () => connection.end(),
          nowMs: () => clock.monotonicMs(),
        },
        {
          onConnected: () => {
            upSinceMs = clock.monotonicMs();
            log.info('connected to the broker', { broker: connection.remote });
            this.#events.onUp(client);
          },
          onMessage: (message) => this.#events.onMessage(message),
          onFailed: (error) => {
            failure ??= error;
            connection.destroy();
          },
        },
      );
      const connection: Connection = network.dial(this.#env.broker, {
        onOpen: () => {
          isOpen = true;
          client.start();
        },
        onData: (chunk, length) => client.receive(chunk, length),
        onDrain: () => undefined,
        onClose: (error) => {
          failure ??= error;
          client.closed();
          resolve();
        },
      });
      this.#hangUp = () => {
        client.disconnect();
        connection.end();
      };
      repeat(clock, timers, { everyMs: tickMs, run: () => isOpen && client.tick() });
      const renew = (): void => {
        isRenewal = true;
        this.#hangUp?.();
      };
      once(clock, timers, { afterMs: moduleTokenRenewMs, run: renew });
      once(clock, timers, { afterMs: dialTimeoutMs, run: () => upSinceMs === undefined && connection.destroy() });
    });
    await ended;
    this.#hangUp = undefined;
    for (const timer of timers) timer.cancel();
    const isUsual = isRenewal || (upSinceMs !== undefined && clock.monotonicMs() - upSinceMs >= moduleSessionMsMin);
    if (isUsual) this.#failures = 0;
    if (upSinceMs !== undefined) this.#events.onDown();
    if (failure !== undefined) throw failure;
    if (!isUsual && !this.#closing.signal.aborted) this.#failures += 1;
  }
}

interface Repeated {
  readonly everyMs: number;
  readonly run: () => unknown;
}

function repeat(clock: Clock, timers: Set<Timer>, repeated: Repeated): void {
  const timer = clock.setTimer(repeated.everyMs, () => {
    timers.delete(timer);
    repeat(clock, timers, repeated);
    repeated.run();
  });
  timers.add(timer);
}

function once(
  clock: Clock,
  timers: Set<Timer>,
  { afterMs, run }: { readonly afterMs: number; readonly run: () => unknown },
): void {
  timers.add(clock.setTimer(afterMs, run));
}
