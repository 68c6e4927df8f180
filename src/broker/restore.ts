// What the session store had when the broker ended becomes sessions, subscriptions, retained messages and wills
// again: before the first listener is opened, so nobody meets half of it.
//
// A client that was there when the broker ended is away from now on: its session's time and its will's delay begin
// now, as if its connection had ended with the broker's return. When the storage is lost while the broker runs,
// everything that is alive is put into it again.

import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Exchange } from './exchange.ts';
import type { SessionStore } from './ports.ts';
import type { SessionTable } from './session-table.ts';
import { type Wills, willFromStored } from './will.ts';

export interface RestoredParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly sessions: SessionTable;
  readonly exchange: Exchange;
  readonly wills: Wills;
}

const millisecondsPerSecond = 1000;

/** Once, before anybody connects. Rejects STORE_… when the store cannot be read. */
export async function restoreFrom(store: SessionStore, parts: RestoredParts): Promise<void> {
  const { clock, log, sessions, exchange, wills } = parts;
  const state = await store.load();
  exchange.restore(state);
  const leftAtMs = new Map(state.sessions.map((session) => [session.clientId, session.leftAtMs]));
  sessions.restore(state, (session) => {
    exchange.enter(session);
    const { will } = session;
    if (will !== undefined) {
      const left = leftAtMs.get(session.clientId) || clock.wallMs();
      const delayMs = left + will.delaySeconds * millisecondsPerSecond - clock.wallMs();
      wills.wait(willFromStored(will), session, Math.max(0, delayMs));
    }
    session.save();
  });
  store.onLost(() => {
    for (const session of sessions.all()) session.putAgain(store);
    exchange.putAgain(store);
  });
  if (state.sessions.length === 0 && state.retained.length === 0 && state.damaged === 0) return;
  const { sessions: loaded, retained, damaged } = state;
  log.info('sessions restored', { sessions: loaded.length, retained: retained.length, damaged });
}
