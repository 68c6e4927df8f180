import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { runCli } from '../../src/cli/index.ts';
import { recordedContext } from '../support/cli-context.ts';

interface Row {
  readonly argv: string;
  readonly code: number;
  readonly err?: RegExp;
  readonly out?: RegExp;
}

const rows: readonly Row[] = [
  { argv: '', code: 2, out: /Commands:[\s\S]*weir status/ },
  { argv: '--help', code: 0, out: /weir logs \[modules\.\.\]/ },
  { argv: 'logs --help', code: 0, out: /--follow[\s\S]*Examples:/ },
  { argv: 'config init -h', code: 0, out: /--connection-string/ },
  {
    argv: 'statsu',
    code: 2,
    err: /^weir: Unknown command: statsu\. Did you mean status\? See: weir --help \[CLI_USAGE\]\n$/,
  },
  { argv: 'teleport', code: 2, err: /Unknown command: teleport\. See: weir --help/ },
  { argv: 'config chekc', code: 2, err: /Unknown command: chekc\. Did you mean check\? See: weir config --help/ },
  { argv: 'config', code: 2, err: /weir config init, show or check/ },
  { argv: 'queue', code: 2, err: /weir queue status/ },
  { argv: 'status --jso', code: 2, err: /Unknown option: --jso\. Did you mean --json\?/ },
  { argv: 'logs m --tial 3', code: 2, err: /Did you mean --tail\?/ },
  { argv: 'hub --help', code: 0, out: /weir hub start[\s\S]*weir hub device/ },
  {
    argv: 'hub device lisst',
    code: 2,
    err: /Unknown command: lisst\. Did you mean list\? See: weir hub device --help/,
  },
  { argv: 'list extra', code: 2, err: /Nothing more is expected here: extra/ },
  {
    argv: 'hub device update d --status gone',
    code: 2,
    err: /^weir: --status gone is none of enabled, disabled\. See: weir hub device update --help \[CLI_USAGE\]\n$/,
  },
  { argv: 'hub deploy m.json', code: 2, err: /^weir: --device is missing: .*\. See: weir hub deploy --help/ },
  { argv: 'hub method invoke d m --payload {', code: 2, err: /See: weir hub method invoke --help/ },
  { argv: 'logs m --tail many', code: 2, err: /--tail many is neither/ },
  { argv: 'logs m --since yesterday', code: 2, err: /10m, 2h or "1 day"/ },
  {
    argv: 'status --run-dir /a --run-dir /b',
    code: 2,
    err: /--run-dir is given more than once\. See: weir status --help/,
  },
  { argv: 'logs m --tail 3 --tail 4', code: 2, err: /--tail is given more than once/ },
  { argv: 'hub device list --hub-socket /a --hub-socket /b', code: 2, err: /--hub-socket is given more than once/ },
  { argv: 'check --list --only store-openable --only run-dir', code: 0 },
  { argv: 'run --config', code: 2, err: /^weir: --config needs a value: configuration file\. See: weir run --help/ },
  { argv: 'support-bundle -o', code: 2, err: /^weir: -o needs a value: where to\. See: weir support-bundle --help/ },
  { argv: 'logs --tail', code: 2, err: /^weir: --tail needs a value: only the last lines, a number or "all"\. See/ },
  {
    argv: 'deploy --json',
    code: 2,
    err: /^weir: <manifest> is missing: a JSON file, or - for standard input\. Write: weir deploy <manifest>\. See: weir deploy --help \[CLI_USAGE\]\n$/,
  },
  {
    argv: 'restart',
    code: 2,
    err: /^weir: <modules> is missing: names of modules\. Write: weir restart <modules\.\.>\. See: weir restart --help/,
  },
  {
    argv: 'hub method invoke gw-7',
    code: 2,
    err: /<name> is missing: the method's name\. Write: weir hub method invoke <target> <name>\. See: weir hub method invoke/,
  },
  {
    argv: 'route test x',
    code: 2,
    err: /--source is missing: of the message: \/messages\/modules\/.*for a device\. See/,
  },
  { argv: 'queue peek q --from x', code: 2, err: /--from x is none of first, last\. See: weir queue peek --help/ },
  { argv: 'check --x', code: 2, err: /Unknown option: --x\. See/ },
  { argv: 'check --only nothing', code: 2, err: /There is no check 'nothing'/ },
  { argv: 'version', code: 0, out: /^weir \d+\.\d+\.\d+ / },
  {
    argv: 'status --run-dir /nonexistent',
    code: 1,
    err: /weir is not running on \/nonexistent\. Start it: .* \[ADMIN_NOT_RUNNING\]\n$/,
  },
  { argv: 'restart m --run-dir /nonexistent', code: 1, err: /ADMIN_NOT_RUNNING/ },
  { argv: 'queue status --run-dir /nonexistent', code: 1, err: /ADMIN_NOT_RUNNING/ },
  { argv: 'config check --config /nonexistent/c.toml', code: 1, out: /weir config init/ },
  { argv: 'config show --config /nonexistent/c.toml', code: 1, err: /CONFIG_MISSING/ },
];

for (const { argv, code, err, out } of rows) {
  t.test(`weir ${argv} exits ${code}`, async (t) => {
    const context = recordedContext();
    t.equal(await runCli(argv === '' ? [] : argv.split(' '), context), code);
    if (err === undefined) t.equal(context.err(), '');
    else t.match(context.err(), err);
    if (out !== undefined) t.match(context.out(), out);
  });
}

t.test('an error is one line; its stack comes only when asked for', async (t) => {
  const quiet = recordedContext();
  await runCli(['status', '--run-dir', '/nonexistent'], quiet);
  t.equal(quiet.err().split('\n').length, 2);
  const loud = { ...recordedContext(), env: { WEIR_DEBUG: '1' } };
  await runCli(['status', '--run-dir', '/nonexistent'], loud);
  t.match(loud.err(), /at /);
});

t.test('every command has an example in its help', async (t) => {
  const commands = await commandsBelow('');
  t.ok(commands.length > 40, `${commands.length} commands`);
  for (const command of commands) t.match(await helpOf(command), /Examples:/, command);
});

t.test('help fits a terminal of 80 columns', async (t) => {
  for (const command of ['', 'hub', ...(await commandsBelow(''))])
    for (const line of (await helpOf(command)).split('\n')) t.ok(line.length <= 80, `${command}: ${line}`);
});

const helps = new Map<string, Promise<string>>();

function helpOf(command: string): Promise<string> {
  const help = helps.get(command) ?? askedHelp(command);
  helps.set(command, help);
  return help;
}

async function askedHelp(command: string): Promise<string> {
  const context = recordedContext();
  const words = command === '' ? [] : command.split(' ');
  await runCli([...words, '--help'], { ...context, terminal: { ...context.terminal, columns: 80 } });
  return context.out();
}

/** All that lead no further; the list of a group stands in its help. */
async function commandsBelow(group: string): Promise<readonly string[]> {
  const start = `  weir ${group === '' ? '' : `${group} `}`;
  const list = /Commands:\n([\s\S]*?)\n\n/.exec(await helpOf(group))?.[1];
  const words = (list ?? '')
    .split('\n')
    .filter((line) => line.startsWith(start))
    .map((line) => /^[a-z-]+/.exec(line.slice(start.length))?.[0] ?? '');
  const below = words.filter((word) => word !== '').map((word) => (group === '' ? word : `${group} ${word}`));
  if (below.length === 0) return [group];
  // A command that stands in its own list is a group that also does something by itself.
  return (await Promise.all(below.map((name) => (name === group ? [name] : commandsBelow(name))))).flat();
}

const binary = process.env['WEIR_BIN'] ?? join(import.meta.dirname, '../../out/weir-linux-x64');

t.test(
  'the executable answers as the sources do',
  { skip: existsSync(binary) ? false : 'there is no executable' },
  async (t) => {
    const version: unknown = JSON.parse(execFileSync(binary, ['version', '--json'], { encoding: 'utf8' }));
    t.match(version, { version: /^\d+\.\d+\.\d+$/, commit: String, target: /^linux-/, node: String, sqlite: /^3\./ });
    const wrong = spawnSync(binary, ['statsu'], { encoding: 'utf8' });
    t.equal(wrong.status, 2);
    t.match(wrong.stderr, /Did you mean status\?/);
    const stopped = spawnSync(binary, ['status', '--run-dir', '/nonexistent'], { encoding: 'utf8' });
    t.equal(stopped.status, 1);
    t.match(stopped.stderr, /not running/);
    const native = spawnSync(binary, ['check', '--only', 'native-addons', '--json'], { encoding: 'utf8' });
    t.equal(native.status, 0, native.stdout);
    t.match(execFileSync(binary, ['licenses'], { encoding: 'utf8' }), /Apache|MIT/);
  },
);
