// Columns of text that fit the terminal.
//
// Each column is as wide as its widest cell; when a row would be wider than the terminal, the last column is
// cut with an ellipsis, since by habit the long free text stands last, and then the first one, which has the names.
// Numbers are right-aligned. Colour is put
// on after padding, so that it never counts as width.

import { type Colour, painted, type Terminal } from './terminal.ts';

export type Cell =
  | string
  | number
  | { readonly text: string; readonly colour: Colour | undefined; readonly isRight?: boolean };

const gap = 2;
const lastColumnMin = 8;
/** What the first column leaves it. */
const lastColumnFair = 24;
const firstColumnMin = 12;

/** Header and rows as lines, each ended by a newline; empty when there are no rows. */
export function formatTable(
  terminal: Pick<Terminal, 'columns' | 'hasColour'>,
  header: readonly string[],
  rows: readonly (readonly Cell[])[],
): string {
  if (rows.length === 0) return '';
  const last = header.length - 1;
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => textOf(row[column]).length)),
  );
  const titleLast = header[last]?.length ?? 0;
  const between = widths.slice(1, last).reduce((sum, width) => sum + width + gap, gap);
  const around = between + Math.min(widths[last] ?? 0, Math.max(lastColumnFair, titleLast));
  if (last > 0) widths[0] = Math.min(widths[0] ?? 0, Math.max(firstColumnMin, terminal.columns - around));
  const before = widths.slice(0, last).reduce((sum, width) => sum + width + gap, 0);
  widths[last] = Math.min(widths[last] ?? 0, Math.max(lastColumnMin, titleLast, terminal.columns - before));
  const lines = [
    header.map((title, column) => painted(terminal, 'dim', pad(title, widths[column] ?? 0, isNumeric(rows, column)))),
    ...rows.map((row) =>
      header.map((_, column) => {
        const cell = row[column];
        const text = pad(cut(textOf(cell), widths[column] ?? 0), widths[column] ?? 0, isRight(cell));
        return painted(terminal, typeof cell === 'object' ? cell.colour : undefined, text);
      }),
    ),
  ];
  return lines.map((cells) => `${cells.join(' '.repeat(gap)).trimEnd()}\n`).join('');
}

function isNumeric(rows: readonly (readonly Cell[])[], column: number): boolean {
  return rows.some((row) => isRight(row[column]));
}

function isRight(cell: Cell | undefined): boolean {
  return typeof cell === 'number' || (typeof cell === 'object' && cell.isRight === true);
}

function textOf(cell: Cell | undefined): string {
  return typeof cell === 'object' ? cell.text : String(cell ?? '');
}

function pad(text: string, width: number, right: boolean): string {
  return right ? text.padStart(width) : text.padEnd(width);
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}
