// What a deployment would do, and what is wrong with one, as lines.

import type { AdminClient } from '../admin/index.ts';
import { type Cell, formatTable } from './table.ts';
import { type Colour, painted, type Terminal } from './terminal.ts';

type DeployReport = Awaited<ReturnType<AdminClient['deploy']>>;
type Look = Pick<Terminal, 'columns' | 'hasColour'>;

const colours: Readonly<Record<DeployReport['plan'][number]['action'], Colour | undefined>> = {
  create: 'green',
  start: 'green',
  restart: 'yellow',
  stop: 'yellow',
  remove: 'red',
  keep: 'dim',
};

export function planText(terminal: Look, plan: DeployReport['plan']): string {
  const changes = plan.filter(({ action }) => action !== 'keep').length;
  const rows = plan.map(({ module, action, why }): readonly Cell[] => [
    module,
    { text: action, colour: colours[action] },
    why,
  ]);
  const head =
    plan.length === 0
      ? 'No modules.'
      : changes === 0
        ? 'No module changes.'
        : `${changes} of ${plan.length} modules change.`;
  return `${formatTable(terminal, ['MODULE', 'WHAT', 'WHY'], rows)}${head}\n`;
}

/** A wrong route refuses nothing by itself: the good ones hold, or the last good set (`routes.mode`). */
export function routeFaultsText(terminal: Look, faults: readonly string[]): string {
  return faults.map((fault) => `${painted(terminal, 'yellow', 'not in force:')} ${fault}\n`).join('');
}

/** One line a fault, with its place and the mend. */
export function problemsText(terminal: Look, problems: DeployReport['problems']): string {
  const lines = problems.map(
    ({ path, message }) => `${painted(terminal, 'red', path === '' ? 'manifest' : path)}: ${message}\n`,
  );
  const count = problems.length === 1 ? 'One fault' : `${problems.length} faults`;
  return `${lines.join('')}${count}; nothing was changed.\n`;
}
