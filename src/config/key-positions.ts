// Where each key of a TOML text stands: dotted key → line and column, both from 1.
//
// The TOML reader gives values without places; an error message needs places. This scanner walks a text that
// the reader has already accepted, so it never has to judge: it only finds keys and steps over values.
// Elements of arrays of tables get their index as a key part (`a.0.b`); a key that occurs twice as a table
// header keeps its first place.
//
//   [store]            → store        1:2
//   quota = "64MiB"    → store.quota  2:1
//   a = { b = 1 }      → store.a 3:1, store.a.b 3:7

export interface Position {
  readonly line: number;
  readonly column: number;
}

export function keyPositions(text: string): ReadonlyMap<string, Position> {
  const scanner = new Scanner(text);
  scanner.document();
  return new Map([...scanner.offsets].map(([key, offset]) => [key, positionAt(text, offset)]));
}

function positionAt(text: string, offset: number): Position {
  const before = text.slice(0, offset);
  return { line: before.split('\n').length, column: offset - (before.lastIndexOf('\n') + 1) + 1 };
}

class Scanner {
  readonly offsets = new Map<string, number>();
  readonly #text: string;
  readonly #tableCounts = new Map<string, number>();
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): void {
    let prefix: readonly string[] = [];
    for (this.#skipBlank(); this.#at < this.#text.length; this.#skipBlank()) {
      const before = this.#at;
      if (this.#text[this.#at] === '[') prefix = this.#header();
      else this.#pair(prefix);
      // A text that no reader accepted could stand still here: step on rather than hang.
      if (this.#at === before) this.#at++;
    }
  }

  #header(): readonly string[] {
    const isArray = this.#text[this.#at + 1] === '[';
    this.#at += isArray ? 2 : 1;
    this.#skipInline();
    const offset = this.#at;
    const path = this.#dottedKey();
    while (this.#text[this.#at] === ']') this.#at++;
    this.#note(path, offset);
    if (!isArray) return path;
    const name = path.join('.');
    const index = this.#tableCounts.get(name) ?? 0;
    this.#tableCounts.set(name, index + 1);
    return [...path, String(index)];
  }

  #pair(prefix: readonly string[]): void {
    const offset = this.#at;
    const path = [...prefix, ...this.#dottedKey()];
    this.#note(path, offset);
    if (this.#text[this.#at] === '=') this.#at++;
    this.#skipInline();
    this.#value(path);
  }

  #note(path: readonly string[], offset: number): void {
    // `a.b = 1` also tells where `a` begins.
    for (let length = path.length; length > 0; length--) {
      const key = path.slice(0, length).join('.');
      if (!this.offsets.has(key)) this.offsets.set(key, offset);
    }
  }

  #dottedKey(): string[] {
    const parts: string[] = [];
    for (;;) {
      this.#skipInline();
      const quote = this.#text[this.#at];
      const start = this.#at;
      if (quote === '"' || quote === "'") {
        this.#string(quote);
        parts.push(this.#text.slice(start + 1, this.#at - 1));
      } else {
        while (/[A-Za-z0-9_-]/.test(this.#text[this.#at] ?? '')) this.#at++;
        parts.push(this.#text.slice(start, this.#at));
      }
      this.#skipInline();
      if (this.#text[this.#at] !== '.') return parts;
      this.#at++;
    }
  }

  #value(path: readonly string[]): void {
    const first = this.#text[this.#at];
    if (first === '"' || first === "'") this.#string(first);
    else if (first === '[') this.#array(path);
    else if (first === '{') this.#inlineTable(path);
    else while (this.#at < this.#text.length && !/[,\]}\n#]/.test(this.#text[this.#at] ?? '')) this.#at++;
  }

  #string(quote: string): void {
    const fence = this.#text.startsWith(quote.repeat(3), this.#at) ? quote.repeat(3) : quote;
    this.#at += fence.length;
    while (this.#at < this.#text.length && !this.#text.startsWith(fence, this.#at)) {
      this.#at += quote === '"' && this.#text[this.#at] === '\\' ? 2 : 1;
    }
    this.#at += fence.length;
    // A multi-line string may end in up to two quotes of its own before the fence.
    while (fence.length > 1 && this.#text[this.#at] === quote) this.#at++;
  }

  #array(path: readonly string[]): void {
    this.#at++;
    for (let index = 0; ; index++) {
      this.#skipSeparators();
      if (this.#at >= this.#text.length || this.#text[this.#at] === ']') break;
      const before = this.#at;
      this.#value([...path, String(index)]);
      if (this.#at === before) this.#at++;
    }
    this.#at++;
  }

  #inlineTable(path: readonly string[]): void {
    this.#at++;
    for (;;) {
      this.#skipSeparators();
      if (this.#at >= this.#text.length || this.#text[this.#at] === '}') break;
      const before = this.#at;
      this.#pair(path);
      if (this.#at === before) this.#at++;
    }
    this.#at++;
  }

  #skipSeparators(): void {
    for (this.#skipBlank(); this.#text[this.#at] === ','; this.#skipBlank()) this.#at++;
  }

  #skipInline(): void {
    while (this.#text[this.#at] === ' ' || this.#text[this.#at] === '\t') this.#at++;
  }

  #skipBlank(): void {
    for (;;) {
      while (/\s/.test(this.#text[this.#at] ?? 'x')) this.#at++;
      if (this.#text[this.#at] !== '#') return;
      while (this.#at < this.#text.length && this.#text[this.#at] !== '\n') this.#at++;
    }
  }
}
