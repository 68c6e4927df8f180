// What is wrong with a command line, in weir's words: what, which, the mend, and where to read on.
//
// yargs finds the faults; its texts name them for who knows yargs. What an argument is for stands in the help of its
// command, so that is where it is taken from: said once, it is the same in both places.

import { nearestName } from '../model/nearest.ts';

export interface WrongUsage {
  readonly argv: readonly string[];
  /** What yargs or a command says. */
  readonly message: string;
  /** The help text of the command that these words name. */
  readonly help: (path: readonly string[]) => Promise<string>;
}

/** Commands whose next word is a command, too. */
const groupCommands: readonly string[] = [
  'broker',
  'config',
  'hub',
  'hub device',
  'hub method',
  'hub twin',
  'module',
  'queue',
  'route',
];

/** How yargs says it, and what is made of it. */
const sayings: readonly {
  readonly pattern: RegExp;
  readonly text: (found: readonly string[], help: string, argv: readonly string[]) => string;
}[] = [
  {
    pattern: /^Not enough non-option arguments: got (\d+)/,
    text: ([, got = '0'], help) => {
      const usage = help.split('\n', 1)[0] ?? '';
      const missing = [...usage.matchAll(/<([a-z-]+)(?:\.\.)?>/g)].map((match) => match[1] ?? '').slice(Number(got));
      const [first = ''] = missing;
      return `<${first}> is missing: ${meaning(help, first)}. Write: ${usage}.`;
    },
  },
  {
    pattern: /^Not enough arguments following: (\S+)/,
    text: ([, name = ''], help, argv) => `${asWritten(argv, name)} needs a value: ${meaning(help, optionWord(name))}.`,
  },
  {
    // Of several the first: each is told in its turn.
    pattern: /^Missing required arguments?: ([a-z-]+)/,
    text: ([, name = ''], help) => `--${name} is missing: ${meaning(help, `--${name}`)}.`,
  },
  {
    pattern: /^Invalid values:\s+Argument: (\S+), Given: (.*), Choices: (.*)/,
    text: ([, name = '', given = '', choices = '']) =>
      `--${name} ${given.replace(/^"|"$/g, '')} is none of ${choices.replaceAll('"', '')}.`,
  },
];

export async function explainUsage({ argv, message, help }: WrongUsage): Promise<string> {
  const path = commandPath(argv);
  const unknown = /^Unknown (?:command|argument)s?: ([^,]+)/.exec(message)?.[1]?.trim();
  if (unknown !== undefined) return await explainUnknown({ argv, path, unknown, help });
  const more = `See: weir ${[...path, '--help'].join(' ')}`;
  for (const { pattern, text } of sayings) {
    const found = pattern.exec(message);
    if (found !== null) return `${text(found, await help(path), argv)} ${more}`;
  }
  const line = message.replaceAll(/\s*\n\s*/g, ' ');
  return `${/[.?!]$/.test(line) ? line : `${line}.`} ${more}`;
}

/** With the nearest right word. */
async function explainUnknown({
  argv,
  path,
  unknown,
  help,
}: {
  readonly argv: readonly string[];
  readonly path: readonly string[];
  readonly unknown: string;
  readonly help: WrongUsage['help'];
}): Promise<string> {
  const isOption = argv.some((word) => word.startsWith('-') && word.replace(/^-+/, '').split('=')[0] === unknown);
  const group = path.filter((word) => word !== unknown);
  const text = await help(group);
  const known = isOption ? optionsIn(text) : commandsIn(text, group);
  const nearest = nearestName(unknown, known);
  const noun = isOption ? 'Unknown option' : known.length > 0 ? 'Unknown command' : 'Nothing more is expected here';
  const meant = nearest === undefined ? '' : ` Did you mean ${isOption ? '--' : ''}${nearest}?`;
  return `${noun}: ${isOption ? asWritten(argv, unknown) : unknown}.${meant} See: weir ${[...group, '--help'].join(' ')}`;
}

/** The words of the command line that name a command. */
function commandPath(argv: readonly string[]): readonly string[] {
  const end = argv.findIndex((word) => word.startsWith('-'));
  const words = end < 0 ? argv : argv.slice(0, end);
  let length = Math.min(1, words.length);
  while (length < words.length && groupCommands.includes(words.slice(0, length).join(' '))) length++;
  return words.slice(0, length);
}

/** An option with as many dashes as it was given. */
function asWritten(argv: readonly string[], name: string): string {
  const written = argv.map((word) => word.split('=')[0] ?? '').find((word) => word.replace(/^-+/, '') === name);
  return written ?? optionWord(name);
}

function optionWord(name: string): string {
  return name.length > 1 ? `--${name}` : `-${name}`;
}

/** What the help says of a positional or an option: the text between its name and its type. */
function meaning(help: string, word: string): string {
  const name = word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const found =
    new RegExp(`^ {2,}(?:-[^\\n]*, )?${name}(?:, \\S+)* +(\\S.*(?:\\n {8,}\\S.*)*)`, 'm').exec(help)?.[1] ?? '';
  return found
    .replace(/\s+/g, ' ')
    .replace(/ ?\[(?:string|number|boolean|array|required|default:|choices:).*$/, '')
    .replace(/ \[[^\]]*\]$/, '')
    .trim();
}

function optionsIn(help: string): string[] {
  return [...help.matchAll(/--([a-z][a-z-]*)/g)].map((match) => match[1] ?? '');
}

/** Commands stand as `  weir config init   what it does`. */
function commandsIn(help: string, group: readonly string[]): string[] {
  const start = `  ${['weir', ...group].join(' ')} `;
  const list = /Commands:\n([\s\S]*?)\n\n/.exec(help)?.[1] ?? '';
  return list
    .split('\n')
    .flatMap((line) => (line.startsWith(start) ? (line.slice(start.length).split(' ')[0] ?? '') : []));
}
