// From single runs to rows with a verdict. Pure. Medians and ratios are those of the broker's bench.

import { figure, median, number, type Result, type Sample } from '../figures.ts';
import { rateText, table } from '../report.ts';
import type { StoreGoal, StoreRow, ValuePlace } from './cases.ts';

export interface RowFigures {
  readonly title: string;
  readonly unit: StoreRow['unit'];
  readonly value: number | undefined;
  readonly contender: string;
  readonly beside: number | undefined;
  readonly besideContender: string | undefined;
  readonly ratio: number | undefined;
  readonly goal: string;
  readonly verdict: 'met' | 'missed' | 'told';
}

/** A case of a row that failed in every round is a goal missed, not one that is left out. */
export function rowFigures(row: StoreRow, samples: readonly Sample[]): RowFigures {
  const values = valuesAt(row.value, samples);
  const besides = row.beside === undefined ? undefined : valuesAt(row.beside, samples);
  const beside = besides === undefined ? undefined : median([...besides.values()]);
  const least = row.goal?.kind === 'most' && row.goal.of === 'least';
  const value = least ? leastOf([...values.values()]) : median([...values.values()]);
  const ratio =
    besides === undefined
      ? undefined
      : median(
          [...values].map(([round, each]) => {
            const other = besides.get(round);
            return other === undefined || other === 0 ? undefined : each / other;
          }),
        );
  return {
    title: row.title,
    unit: row.unit,
    value,
    contender: row.value.contender,
    beside,
    besideContender: row.beside?.contender,
    ratio,
    goal: row.goal === undefined ? '' : goalText(row.goal, row.unit),
    verdict: row.goal === undefined ? 'told' : isMet(row.goal, { value, beside, ratio }) ? 'met' : 'missed',
  };
}

function valuesAt(place: ValuePlace, samples: readonly Sample[]): ReadonlyMap<number, number> {
  const found = new Map<number, number>();
  for (const sample of samples) {
    if (sample.case !== place.case || sample.contender !== place.contender) continue;
    const value = figure(sample.result, place.path);
    if (value !== undefined) found.set(sample.round, value);
  }
  return found;
}

function leastOf(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : Math.min(...values);
}

function isMet(goal: StoreGoal, { value, beside, ratio }: Pick<RowFigures, 'value' | 'beside' | 'ratio'>): boolean {
  switch (goal.kind) {
    case 'ratio':
      return ratio !== undefined && ratio >= goal.min;
    case 'most':
      return value !== undefined && value <= goal.max;
    case 'near':
      return value !== undefined && beside !== undefined && value <= goal.factor * beside + goal.plus;
  }
}

function goalText(goal: StoreGoal, unit: StoreRow['unit']): string {
  switch (goal.kind) {
    case 'ratio':
      return `×${goal.min}`;
    case 'most':
      return `≤ ${goal.max}${unit === '×' ? '' : ` ${unit}`}`;
    case 'near':
      return `≤ ${goal.factor} × that + ${goal.plus} ${unit}`;
  }
}

export function valueText(value: number | undefined, unit: StoreRow['unit']): string {
  if (value === undefined) return '?';
  if (unit === '/s') return `${value < 1000 ? number(value) : rateText(value)}/s`;
  return unit === '×' ? `×${number(value)}` : `${number(value)} ${unit}`;
}

export function rowsText(rows: readonly RowFigures[]): string {
  const head = ['what', 'weir', 'beside', 'ratio', 'asked', 'verdict'];
  return table([
    head,
    ...rows.map(({ title, unit, value, beside, besideContender, ratio, goal, verdict }) => [
      title,
      valueText(value, unit),
      besideContender === undefined ? '' : valueText(beside, unit),
      ratio === undefined ? '' : `×${number(ratio)}`,
      goal,
      verdict === 'told' ? '' : verdict === 'met' ? 'met' : 'MISSED',
    ]),
  ]);
}

/** One run in a line. */
export function summary(result: Result): string {
  if (typeof result['error'] === 'string') return `FAILED (${result['error'].split('\n')[0]})`;
  const told: string[] = [];
  const tell = (path: string, text: (value: number) => string): void => {
    const value = figure(result, path);
    if (value !== undefined) told.push(text(value));
  };
  tell('perSecond', (value) => `${rateText(value)}/s`);
  tell('megabytesPerSecond', (value) => `${number(value)} MB/s`);
  tell('batch', (value) => `${number(value)} a commit`);
  tell('toDevice', (value) => `device ×${number(value)}`);
  tell('byProcess', (value) => `process ×${number(value)}`);
  tell('p99Ms', (value) => `p99 ${number(value)} ms`);
  tell('startedMs', (value) => `started in ${number(value)} ms`);
  tell('grownMb', (value) => `grown ${number(value)} MB`);
  tell('residentMb', (value) => `${number(value)} MB`);
  return told.join(', ');
}
