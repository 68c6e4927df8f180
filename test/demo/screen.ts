// What the visitor sees: chapters, lines, and one panel that is redrawn in place on a terminal.
//
// On anything but a terminal there are no cursor movements: a panel is printed once, when it ends. Colour only on a
// terminal and never with NO_COLOR set. Text is broken at 80 columns, or at the terminal's width when it is less.

export type Paint = 'bold' | 'dim' | 'green' | 'yellow' | 'red' | 'cyan';

export interface ScreenOptions {
  readonly write: (text: string) => void;
  readonly isTerminal: boolean;
  readonly columns: number;
  readonly rows: number;
  readonly hasColour: boolean;
}

const codes: Readonly<Record<Paint, string>> = {
  bold: '1',
  dim: '2',
  green: '32',
  yellow: '33',
  red: '31',
  cyan: '36',
};
const columnsMax = 80;
const hideCursor = '\u001b[?25l';
const showCursor = '\u001b[?25h';
const clearLine = '\u001b[K';

export class Screen {
  readonly columns: number;
  readonly #options: ScreenOptions;
  #chapter = 0;
  #chapters = 0;
  /** Lines of the panel that stand above the cursor. */
  #drawn = 0;
  #isCursorHidden = false;

  constructor(options: ScreenOptions) {
    this.#options = options;
    this.columns = Math.min(columnsMax, options.columns);
  }

  /** How many chapters there will be. */
  begin(chapters: number): void {
    this.#chapters = chapters;
  }

  paint(paint: Paint | undefined, text: string): string {
    if (paint === undefined || !this.#options.hasColour || text === '') return text;
    return `\u001b[${codes[paint]}m${text}\u001b[0m`;
  }

  chapter(sentence: string): void {
    this.#chapter += 1;
    const mark = `${this.#chapter}/${this.#chapters}  `;
    const [first = '', ...others] = wrapped(sentence, this.columns - mark.length);
    this.line('');
    this.line(`${this.paint('cyan', mark)}${this.paint('bold', first)}`);
    for (const other of others) this.line(`${' '.repeat(mark.length)}${this.paint('bold', other)}`);
  }

  /** A fact of the chapter, as one or more lines. */
  say(text: string, paint?: Paint): void {
    for (const line of wrapped(text, this.columns - indent.length)) this.line(`${indent}${this.paint(paint, line)}`);
  }

  /** A command as the visitor could type it; long arguments are already left out. */
  command(text: string): void {
    this.line(`${indent}${this.paint('dim', `$ ${text}`)}`);
  }

  /** As it is, without breaking it. */
  line(text: string): void {
    this.#options.write(`${text}\n`);
  }

  /** Draws the panel over its former self. Nothing on what is no terminal, or one too low for it. */
  panel(lines: readonly string[]): void {
    if (!this.#isInPlace(lines)) return;
    const up = this.#drawn === 0 ? hideCursor : `\u001b[${this.#drawn}A`;
    this.#isCursorHidden = true;
    this.#drawn = lines.length;
    this.#options.write(up + lines.map((line) => `${line}${clearLine}\n`).join(''));
  }

  /** Draws the panel for the last time; it stays. */
  endPanel(lines: readonly string[]): void {
    if (this.#isInPlace(lines)) this.panel(lines);
    else for (const line of lines) this.line(line);
    this.#drawn = 0;
    this.close();
  }

  /** Leaves the terminal as it was. */
  close(): void {
    if (this.#isCursorHidden) this.#options.write(showCursor);
    this.#isCursorHidden = false;
  }

  #isInPlace(lines: readonly string[]): boolean {
    return this.#options.isTerminal && this.#options.rows > lines.length;
  }
}

export const indent = '     ';

/** Lines of at most `width` characters; a word that is longer stands alone. */
export function wrapped(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  lines.push(line);
  return lines;
}
