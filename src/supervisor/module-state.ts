// The life of one module as a table: which phase follows which event, and what has to be done then.
//
//   absent ─run─▶ starting ─up─▶ running ──halt──▶ stopping-to-stay ───ended──▶ stopped
//     ▲              ▲  │           │ ├──change, restart─▶ stopping-to-start ──ended──▶ starting
//     │          due │  └──ended────┤ ├──forget──▶ stopping-to-forget ──ended──▶ absent
//     │              │              │ └──ail──▶ stopping-to-judge ──ended──┐
//     │              │              ▼                                      │
//     └──forget── backoff ◀─wait─ ended ◀──────────────────────────────────┘
//                                   ├──slow─▶ broken   (tried again seldom)
//                                   ├──done──▶ finished   (ended well, and the policy leaves it)
//                                   └─give-up─▶ failed    (not tried again until it changes)
//
// Owns nothing but the decision. Events `wait slow done give-up` are the four verdicts of restart-policy.ts on a
// process that ended. `ail` is a module that runs and yet has to be counted as failed. `run` means "as before, and wanted": it never starts what finished or failed by itself.
// `change` means a new configuration: it always starts, at once. What the table does not name changes nothing.
//
// Why stopping has four forms: what follows the end is decided when the stop begins, and may be changed until it
// is over, without a second stop.

export type Phase =
  | 'absent'
  | 'starting'
  | 'running'
  | 'stopping-to-stay'
  | 'stopping-to-start'
  | 'stopping-to-forget'
  | 'stopping-to-judge'
  | 'stopped'
  | 'finished'
  | 'failed'
  | 'backoff'
  | 'broken';

export type ModuleEvent =
  | 'run'
  | 'change'
  | 'halt'
  | 'forget'
  | 'restart'
  | 'ail'
  | 'up'
  | 'wait'
  | 'slow'
  | 'done'
  | 'give-up'
  | 'due';

/** launch a process · ask the running one to end · arm the timer of the verdict · disarm it · remove all traces. */
export type Effect = 'launch' | 'terminate' | 'schedule' | 'cancel' | 'erase';

export interface Transition {
  readonly phase: Phase;
  readonly effects: readonly Effect[];
}

type Row = Readonly<Partial<Record<ModuleEvent, readonly [Phase, ...Effect[]]>>>;

const verdicts: Row = {
  wait: ['backoff', 'schedule'],
  slow: ['broken', 'schedule'],
  done: ['finished'],
  'give-up': ['failed'],
};

/** Whatever the verdict, the end leads where the stop was going. */
function anyEnd(step: readonly [Phase, ...Effect[]]): Row {
  return { wait: step, slow: step, done: step, 'give-up': step };
}

const waiting: Row = {
  change: ['starting', 'cancel', 'launch'],
  restart: ['starting', 'cancel', 'launch'],
  due: ['starting', 'launch'],
  halt: ['stopped', 'cancel'],
  forget: ['absent', 'cancel', 'erase'],
};

const ended: Row = {
  change: ['starting', 'launch'],
  restart: ['starting', 'launch'],
  halt: ['stopped'],
  forget: ['absent', 'erase'],
};

const table: Readonly<Record<Phase, Row>> = {
  absent: {
    run: ['starting', 'launch'],
    change: ['starting', 'launch'],
    halt: ['stopped'],
    forget: ['absent', 'erase'],
    up: ['running'],
    ...verdicts,
  },
  starting: {
    up: ['running'],
    change: ['stopping-to-start', 'terminate'],
    halt: ['stopping-to-stay', 'terminate'],
    forget: ['stopping-to-forget', 'terminate'],
    ...verdicts,
  },
  running: {
    change: ['stopping-to-start', 'terminate'],
    restart: ['stopping-to-start', 'terminate'],
    halt: ['stopping-to-stay', 'terminate'],
    forget: ['stopping-to-forget', 'terminate'],
    ail: ['stopping-to-judge', 'terminate'],
    ...verdicts,
  },
  'stopping-to-stay': {
    run: ['stopping-to-start'],
    change: ['stopping-to-start'],
    forget: ['stopping-to-forget'],
    ...anyEnd(['stopped']),
  },
  'stopping-to-start': {
    halt: ['stopping-to-stay'],
    forget: ['stopping-to-forget'],
    ...anyEnd(['starting', 'launch']),
  },
  'stopping-to-forget': {
    run: ['stopping-to-start'],
    change: ['stopping-to-start'],
    halt: ['stopping-to-stay'],
    ...anyEnd(['absent', 'erase']),
  },
  'stopping-to-judge': {
    change: ['stopping-to-start'],
    restart: ['stopping-to-start'],
    halt: ['stopping-to-stay'],
    forget: ['stopping-to-forget'],
    ...verdicts,
  },
  stopped: { run: ['starting', 'launch'], change: ['starting', 'launch'], forget: ['absent', 'erase'] },
  finished: ended,
  failed: ended,
  backoff: waiting,
  broken: waiting,
};

export const phases = Object.keys(table) as readonly Phase[];

export function transition(phase: Phase, event: ModuleEvent): Transition {
  const step = table[phase][event];
  if (step === undefined) return { phase, effects: [] };
  const [next, ...effects] = step;
  return { phase: next, effects };
}

/** True while there is, or may be, a process. */
export function hasProcess(phase: Phase): boolean {
  return phase === 'starting' || phase === 'running' || phase.startsWith('stopping-');
}
