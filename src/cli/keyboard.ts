// What a person or a script types: lines of standard input, for secrets without showing them.
//
// At a terminal a hidden line is read in raw mode, since a cooked terminal would echo it; Backspace, Ctrl-U, Ctrl-D
// and Ctrl-C do what they always do. Elsewhere lines are read as they come, and what follows a line stays for the next.

export interface Keyboard {
  readonly isTerminal: boolean;
  /** The next line without its end; undefined at the end of the input, or when the person gave up. */
  readSecret(): Promise<string | undefined>;
  /** The same for what may be seen. */
  readLine(): Promise<string | undefined>;
}

const enter = ['\r', '\n'];
const endOfInput = '\u0004';
const interrupt = '\u0003';
const killLine = '\u0015';
const backspaces = ['\u007f', '\b'];

export function systemKeyboard(stdin: NodeJS.ReadStream = process.stdin): Keyboard {
  const state = { rest: '', ended: false };
  return {
    isTerminal: stdin.isTTY === true,
    async readSecret() {
      const isTerminal = stdin.isTTY === true;
      if (isTerminal) stdin.setRawMode(true);
      try {
        return await readLine(stdin, state, isTerminal);
      } finally {
        if (isTerminal) stdin.setRawMode(false);
        stdin.pause();
      }
    },
    async readLine() {
      try {
        return await readLine(stdin, state, false);
      } finally {
        stdin.pause();
      }
    },
  };
}

interface Unread {
  rest: string;
  ended: boolean;
}

function readLine(input: NodeJS.ReadStream, unread: Unread, isTerminal: boolean): Promise<string | undefined> {
  let line = '';
  const take = (): { readonly line: string | undefined } | undefined => {
    const characters = [...unread.rest];
    unread.rest = '';
    while (characters.length > 0) {
      const character = characters.shift() as string;
      if (enter.includes(character)) {
        unread.rest = characters.join('');
        return { line };
      }
      if (!isTerminal) line += character;
      else if (character === interrupt || (character === endOfInput && line === '')) return { line: undefined };
      else if (character === killLine) line = '';
      else if (backspaces.includes(character)) line = [...line].slice(0, -1).join('');
      else if (character >= ' ') line += character;
    }
    return unread.ended ? { line: line === '' ? undefined : line } : undefined;
  };
  return new Promise((resolve) => {
    const settle = (): boolean => {
      const taken = take();
      if (taken === undefined) return false;
      input.off('data', onData);
      input.off('end', onEnd);
      resolve(taken.line);
      return true;
    };
    const onData = (chunk: Buffer | string): void => {
      unread.rest += typeof chunk === 'string' ? chunk : chunk.toString('utf8');
      settle();
    };
    const onEnd = (): void => {
      unread.ended = true;
      settle();
    };
    if (settle()) return;
    input.on('data', onData);
    input.on('end', onEnd);
    input.resume();
  });
}
