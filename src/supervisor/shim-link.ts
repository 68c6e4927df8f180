// One connection to a shim's control socket, as the runtime's end of it.
//
//   shim → us   the line of state.json · {"notify":"READY=1\nSTATUS=…"} · PONG · the line of exit.json, then the end
//               of the stream
//   us → shim   GRACE n · TERM · KILL
//
// Owns the framing of lines. `opened` settles with the greeting, or with undefined when nobody answers; `closed`
// settles once, last, with the exit line when there was one. Neither rejects: a socket that fails is a socket
// that ended, and what that means is for the runner to find out.

import { strict as assert } from 'node:assert';
import { shimLineBytesMax } from '../limits.ts';
import type { Clock } from '../platform/clock.ts';
import type { Connection, Network } from '../platform/net.ts';
import { type ModuleEnd, parseModuleEnd, parseNotice, parseShimState, type ShimState } from './records.ts';

export interface ShimLinkOptions {
  readonly network: Network;
  readonly clock: Clock;
  readonly path: string;
  /** How long a shim may take to greet; one that is stopped or hangs accepts and says nothing. */
  readonly greetingMsMax: number;
  /** What the module said of itself (sd_notify). */
  readonly notified: (text: string) => void;
}

export class ShimLink {
  /** The greeting, undefined when there was none in time. `silent` tells a shim that hangs from one that is not there. */
  readonly opened: Promise<ShimState | undefined>;
  readonly closed: Promise<ModuleEnd | undefined>;
  /** True when the socket accepted us but did not greet in time. */
  silent = false;

  readonly #connection: Connection;
  readonly #notified: (text: string) => void;
  #received = '';
  #greeting: ShimState | undefined;
  #end: ModuleEnd | undefined;
  #up = false;
  #gone = false;

  constructor({ network, clock, path, greetingMsMax, notified }: ShimLinkOptions) {
    this.#notified = notified;
    let settleOpened: (state: ShimState | undefined) => void = () => undefined;
    let settleClosed: (end: ModuleEnd | undefined) => void = () => undefined;
    this.opened = new Promise((resolve) => {
      settleOpened = resolve;
    });
    this.closed = new Promise((resolve) => {
      settleClosed = resolve;
    });
    const deadline = clock.setTimer(greetingMsMax, () => {
      this.silent = this.#up;
      this.#connection.destroy();
    });
    this.#connection = network.dial(
      { kind: 'unix', path },
      {
        onOpen: () => {
          this.#up = true;
        },
        onData: (chunk, length) => {
          this.#read(chunk.toString('utf8', 0, length));
          if (this.#greeting === undefined) return;
          deadline.cancel();
          settleOpened(this.#greeting);
        },
        onDrain: () => undefined,
        onClose: () => {
          this.#gone = true;
          deadline.cancel();
          settleOpened(undefined);
          settleClosed(this.#end);
        },
      },
    );
  }

  terminate(graceMs: number): void {
    this.#say(`GRACE ${Math.round(graceMs)}\nTERM\n`);
  }

  kill(): void {
    this.#say('KILL\n');
  }

  /** Lets go; the module is not concerned. */
  destroy(): void {
    this.#connection.destroy();
  }

  #say(lines: string): void {
    if (!this.#gone) this.#connection.write(Buffer.from(lines));
  }

  #take(line: string): void {
    const notice = parseNotice(line);
    if (notice === undefined) this.#end = parseModuleEnd(line);
    else this.#notified(notice);
  }

  #read(text: string): void {
    this.#received += text;
    for (;;) {
      const at = this.#received.indexOf('\n');
      if (at < 0) break;
      const line = this.#received.slice(0, at);
      this.#received = this.#received.slice(at + 1);
      if (this.#greeting === undefined) this.#greeting = parseShimState(line);
      else if (line !== 'PONG') this.#take(line);
    }
    // Whoever talks like this is no shim: the end without an exit record sends the runner to look for itself.
    if (this.#received.length > shimLineBytesMax) this.#connection.destroy();
    assert(this.#end === undefined || this.#greeting !== undefined, 'a shim greets before it reports an end');
  }
}
