// The life of a link that is kept up for ever, to the hub or to another broker, as a pure machine.
//
//              start               open               accepted
//   stopped ─────────► waiting ─due─► connecting ──────────────► connected
//      ▲                  ▲   arm        │ lost                      │ lost, renew
//      │                  └──────────────┴───────────────────────────┘
//      └──────────── stop, from anywhere: hang-up
//
// `renew` (the token is near its end) goes straight back to connecting: the credentials were good a moment ago.

import { assertNever } from '../../model/assert-never.ts';

export type LinkPhase = 'stopped' | 'waiting' | 'connecting' | 'connected';
export type LinkEvent = 'start' | 'due' | 'accepted' | 'lost' | 'renew' | 'stop';
/** dial: open a connection; arm: wait one back-off delay, then `due`; hang-up: drop the connection; settle: the link works, forget past failures. */
export type LinkEffect = 'dial' | 'arm' | 'hang-up' | 'settle';

export interface LinkStep {
  readonly phase: LinkPhase;
  readonly effects: readonly LinkEffect[];
}

export function linkTransition(phase: LinkPhase, event: LinkEvent): LinkStep {
  const stay: LinkStep = { phase, effects: [] };
  switch (event) {
    case 'start':
      return phase === 'stopped' ? { phase: 'connecting', effects: ['dial'] } : stay;
    case 'due':
      return phase === 'waiting' ? { phase: 'connecting', effects: ['dial'] } : stay;
    case 'accepted':
      return phase === 'connecting' ? { phase: 'connected', effects: ['settle'] } : stay;
    case 'lost':
      return phase === 'connecting' || phase === 'connected' ? { phase: 'waiting', effects: ['hang-up', 'arm'] } : stay;
    case 'renew':
      return phase === 'connected' ? { phase: 'connecting', effects: ['hang-up', 'dial'] } : stay;
    case 'stop':
      return phase === 'stopped' ? stay : { phase: 'stopped', effects: ['hang-up'] };
    default:
      return assertNever(event, 'link event');
  }
}
