// `weir broker passwd FILE USER`: sets or removes one user of a password file.
//
// The password is asked for twice and never stands in the command line, where others could see it. A running broker
// takes the file over at SIGHUP.

import type { Argv, CommandModule } from 'yargs';
import { systemEntropy } from '../../platform/entropy.ts';
import type { CliContext, GlobalOptions } from '../context.ts';
import { UsageError } from '../errors.ts';

interface PasswdOptions extends GlobalOptions {
  readonly file: string;
  readonly user: string;
  readonly delete: boolean;
  readonly passwordStdin: boolean;
}

export function passwdCommand(context: CliContext): CommandModule<GlobalOptions, PasswdOptions> {
  return {
    command: 'passwd <file> <user>',
    describe: 'set the password of a user, or remove the user',
    builder: (yargs) =>
      yargs
        .positional('file', { type: 'string', describe: 'the password file; it is created when it is not there' })
        .positional('user', { type: 'string', describe: 'the user name' })
        .option('delete', { type: 'boolean', default: false, describe: 'remove the user' })
        .option('password-stdin', {
          type: 'boolean',
          default: false,
          describe: 'the password is the first line of standard input',
        })
        .example('weir broker passwd /etc/weir/passwd plc-1', 'asks for the password twice')
        .example('printf %s "$SECRET" | weir broker passwd ./passwd plc-1 --password-stdin', 'for scripts')
        .example('weir broker passwd ./passwd plc-1 --delete', 'remove') as unknown as Argv<PasswdOptions>,
    handler: (options) => passwd(context, options),
  };
}

async function passwd(context: CliContext, options: PasswdOptions): Promise<void> {
  // yargs makes a number of a user name that looks like one.
  const [file, user] = [String(options.file), String(options.user)];
  const { disk, terminal } = context;
  const { removeUser, setUser } = await import('../../access/index.ts');
  const ports = { disk, entropy: systemEntropy() };
  const after = 'A running broker takes it over at SIGHUP.';
  if (options.delete) {
    if (options.passwordStdin) throw new UsageError('--delete needs no password.');
    await removeUser(ports, file, user);
    return terminal.write(`User '${user}' is removed from ${file}. ${after}\n`);
  }
  const password = options.passwordStdin ? await context.keyboard.readSecret() : await askTwice(context, user);
  if (password === undefined) throw new UsageError('No password was given.');
  const outcome = await setUser(ports, file, { user, password });
  return terminal.write(
    `${outcome === 'added' ? `User '${user}' is added to ${file}.` : `User '${user}' has a new password in ${file}.`} ${after}\n`,
  );
}

async function askTwice({ terminal, keyboard }: CliContext, user: string): Promise<string | undefined> {
  const ask = async (prompt: string): Promise<string | undefined> => {
    terminal.writeError(prompt);
    const line = await keyboard.readSecret();
    terminal.writeError('\n');
    return line;
  };
  const password = await ask(`Password of ${user}: `);
  if (password === undefined) return undefined;
  if ((await ask('The same again: ')) !== password) throw new UsageError('The two passwords differ.');
  return password;
}
