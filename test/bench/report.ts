// The figures as text for a terminal. Pure.

import { type CaseFigures, type ContenderFigures, limit, number, ours, theirs } from './figures.ts';

const thousand = 1000;
const million = 1_000_000;
/** The generator's own limit must be this far away for a rate to be the broker's … */
const headroomMin = 2;
/** … or it must have waited for the broker: this part of a processor and more is a generator at work. */
const workingMin = 0.7;

export function rateText(value: number | undefined): string {
  if (value === undefined) return '';
  if (value >= million) return `${(value / million).toFixed(1)} M`;
  return value >= 10 * thousand ? `${Math.round(value / thousand)} k` : `${(value / thousand).toFixed(1)} k`;
}

function cell({ cpuUs, perSecond, p99Ms, kilobytes }: ContenderFigures, isLatency: boolean): string {
  if (kilobytes !== undefined) return `${number(kilobytes)} KB`;
  const rate = rateText(perSecond);
  if (isLatency) return `${number(p99Ms)} ms, ${number(cpuUs)} µs`;
  return cpuUs === undefined ? rate : `${rate}, ${number(cpuUs)} µs`;
}

/** Rows with columns as wide as their widest cell, the first two to the left. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => [...(row[column] ?? '')].length)));
  return rows
    .map((row) =>
      row
        .map((text, column) => {
          const gap = ' '.repeat((widths[column] ?? 0) - [...text].length);
          return column === 0 || column === row.length - 1 ? text + gap : gap + text;
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Cases where the generator was busy and reached less than twice what a broker did: its rate is a lower bound there. */
export function nearLimit(figures: readonly CaseFigures[]): readonly string[] {
  return figures.flatMap(({ title, contenders }) => {
    const most = contenders.find(({ contender }) => contender === limit)?.perSecond;
    if (most === undefined) return [];
    return contenders
      .filter(({ contender }) => contender !== limit)
      .filter(({ perSecond = 0, generatorCpu = 1 }) => perSecond * headroomMin > most && generatorCpu >= workingMin)
      .map(
        ({ contender, perSecond, generatorCpu }) =>
          `${title}: ${contender} ${rateText(perSecond)} of at most ${rateText(most)}, generator's CPU ${Math.round((generatorCpu ?? 0) * 100)} %`,
      );
  });
}

export function reportText(figures: readonly CaseFigures[], names: readonly string[]): string {
  const head = ['case', ...names, 'CPU ratio', 'rate ratio', 'asked', 'verdict'];
  const rows = figures.map(({ title, contenders, efficiency, rate, goal, verdict, why }) => {
    const isLatency = goal.startsWith('p99');
    const cells = names.map((name) => {
      const found = contenders.find(({ contender }) => contender === name);
      return found === undefined ? '' : cell(found, isLatency);
    });
    const told = verdict === 'told' ? '' : verdict === 'met' ? 'met' : `MISSED: ${why}`;
    const ratioText = (value: number | undefined): string => (value === undefined ? '' : `×${number(value)}`);
    return [title, ...cells, ratioText(efficiency), ratioText(rate), goal, told];
  });
  return table([head, ...rows]);
}

export function legend(): string {
  return [
    'Per broker: messages (or handshakes) delivered per second, and its CPU time for each of them; medians of the rounds.',
    `CPU ratio: ${theirs}'s CPU per message over ${ours}'s; rate ratio: ${ours}'s over ${theirs}'s; both within a round.`,
  ].join('\n');
}
