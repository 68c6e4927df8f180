// Where a command writes: the standard streams, their width, and whether colour is welcome.
//
// Colour only on a terminal, never with NO_COLOR set (https://no-color.org) or TERM=dumb. A reader that went
// away (`weir list | head -1`) is not an error: what cannot be written is dropped.

export type Colour = 'green' | 'yellow' | 'red' | 'dim' | 'bold';

export interface Terminal {
  /** Standard output. Resolves when the text was taken, so that a slow reader slows the writer. */
  write(text: string): Promise<void>;
  /** Standard error. */
  writeError(text: string): void;
  readonly columns: number;
  /** Lines that fit; unlimited when the output goes to a file or a pipe. */
  readonly rows: number;
  /** A person looks at it: it may be drawn anew. */
  readonly isTerminal: boolean;
  readonly hasColour: boolean;
}

const escapes: Readonly<Record<Colour, string>> = { green: '32', yellow: '33', red: '31', dim: '2', bold: '1' };

const columnsUsual = 80;
const columnsMin = 40;
const rowsUsual = 24;

/** When output goes to a file or a pipe, lines are not cut. */
const columnsUnlimited = 100_000;

export function systemTerminal(env: Readonly<Record<string, string | undefined>>): Terminal {
  const { stdout, stderr } = process;
  // Without a listener, EPIPE would be an uncaught exception.
  stdout.on('error', () => undefined);
  stderr.on('error', () => undefined);
  const isTerminal = stdout.isTTY === true;
  return {
    write: (text) =>
      new Promise((resolve) => {
        if (stdout.destroyed || stdout.writableEnded) resolve();
        else stdout.write(text, () => resolve());
      }),
    writeError: (text) => void stderr.write(text),
    get columns() {
      return isTerminal ? Math.max(columnsMin, stdout.columns || columnsUsual) : columnsUnlimited;
    },
    get rows() {
      return isTerminal ? stdout.rows || rowsUsual : columnsUnlimited;
    },
    isTerminal,
    hasColour: isTerminal && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb',
  };
}

export function painted(terminal: Pick<Terminal, 'hasColour'>, colour: Colour | undefined, text: string): string {
  return terminal.hasColour && colour !== undefined && text !== ''
    ? `\u001b[${escapes[colour]}m${text}\u001b[0m`
    : text;
}
