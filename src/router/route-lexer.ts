// The words of a route: one token at a time, with its place in the text.
//
// Pull, not push: the parser asks for a token in the sense it needs (a keyword, a path item, a string), so that
// `/messages/modules/from` has an item called `from`. What follows WHERE is cut by condition/token.ts.
//
// As in IoT Edge: an identifier is every run of characters out of none of ( ) < > @ , ; : \ " / [ ] ? = { } and
// white space; `/* … */` is a comment, also inside a path, but `/messages/*` opens none when nothing closes it.

const wordPattern = /[^()<>@,;:\\"/[\]?={}\s]+/y;
const blankPattern = /\s+/y;
const commentPattern = /\/\*[\s\S]*?\*\//y;
const escapePattern = /\\(?:([\\'"])|[uU]([0-9a-fA-F]{4}))/y;
const hexRadix = 16;

export class RouteSyntaxError extends Error {
  /** 0-based. */
  readonly position: number;

  constructor(message: string, position: number) {
    super(message);
    this.position = position;
  }
}

export class RouteLexer {
  readonly text: string;
  #position = 0;

  constructor(text: string) {
    this.text = text;
  }

  /** Of the next character that is looked at. */
  get position(): number {
    return this.#position;
  }

  set position(position: number) {
    this.#position = position;
  }

  get atEnd(): boolean {
    return this.#position >= this.text.length;
  }

  /** Passes blanks and comments. True when there were any. */
  skipBlanks(): boolean {
    const start = this.#position;
    while (this.#match(blankPattern) !== undefined || this.#match(commentPattern) !== undefined);
    return this.#position > start;
  }

  /** The run of identifier characters that begins here, and passes it; undefined when there is none. */
  word(): string | undefined {
    return this.#match(wordPattern)?.[0];
  }

  /** The same, without passing it. */
  peekWord(): string | undefined {
    const start = this.#position;
    const word = this.word();
    this.#position = start;
    return word;
  }

  /** Passes one exact character when it is the next one. */
  take(character: string): boolean {
    if (this.text[this.#position] !== character) return false;
    this.#position++;
    return true;
  }

  /** A string in single or double quotes, its escapes resolved; undefined when none begins here. Throws RouteSyntaxError inside one. */
  string(): string | undefined {
    const start = this.#position;
    const quote = this.text[start];
    if (quote !== '"' && quote !== "'") return undefined;
    this.#position++;
    let value = '';
    for (;;) {
      const character = this.text[this.#position];
      if (character === undefined)
        throw new RouteSyntaxError(`This string is not closed: add ${quote} at its end.`, start);
      if (character === '\\') value += this.#escape();
      else {
        this.#position++;
        if (character === quote) return value;
        value += character;
      }
    }
  }

  /** What stands here, for a message: a word, a character, or the end. */
  shown(): string {
    if (this.atEnd) return 'the route ends';
    return `found \`${this.peekWord() ?? this.text[this.#position]}\``;
  }

  #escape(): string {
    const found = this.#match(escapePattern);
    if (found === undefined)
      throw new RouteSyntaxError('Only \\\\, \\\', \\" and \\uXXXX may follow a backslash here.', this.#position);
    return found[1] ?? String.fromCharCode(Number.parseInt(found[2] as string, hexRadix));
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#position;
    const found = pattern.exec(this.text);
    if (found === null) return undefined;
    this.#position = pattern.lastIndex;
    return found;
  }
}
