// `weir module run NAME`: this process becomes a built-in module. `weir module run-node FILE`: a JavaScript program.
// Started by the supervisor, one process each.
//
// Loads neither the broker nor SQLite: a module costs a few megabytes, not a gateway. A program's own arguments stand
// behind its file and are never read here: main.ts takes the usual spelling before this is loaded.

import type { CommandModule } from 'yargs';
import type { CliContext, GlobalOptions } from './context.ts';
import { UsageError } from './errors.ts';

const whatToDo = 'Name what to do: weir module run NAME, or weir module run-node FILE';

export interface ModuleRunOptions extends GlobalOptions {
  readonly name: string;
}

export interface ModuleRunNodeOptions extends GlobalOptions {
  readonly file: string;
  readonly args: readonly string[] | undefined;
}

export function moduleCommand(context: CliContext): CommandModule<GlobalOptions, GlobalOptions> {
  const run: CommandModule<GlobalOptions, ModuleRunOptions> = {
    command: 'run <name>',
    describe: 'become a built-in module',
    builder: (yargs) =>
      yargs
        .positional('name', { type: 'string', demandOption: true, describe: 'modbus, simulated-temperature-sensor' })
        .example('weir module run modbus', 'with the IOTEDGE_* variables that the supervisor sets'),
    handler: (options) => runBuiltin(context, options.name),
  };
  const runNode: CommandModule<GlobalOptions, ModuleRunNodeOptions> = {
    command: 'run-node <file> [args..]',
    describe: 'run a JavaScript program on the Node inside weir',
    builder: (yargs) =>
      yargs
        .positional('file', { type: 'string', demandOption: true, describe: 'CommonJS or ES module, as node takes it' })
        .positional('args', { type: 'string', array: true, describe: 'its arguments' })
        .example('weir module run-node app.js --verbose', 'as node app.js --verbose'),
    handler: ({ file, args }) => runProgram(file, args ?? []),
  };
  return {
    command: 'module',
    describe: 'programs of modules, as processes of their own',
    builder: (yargs) => yargs.command(run).command(runNode).demandCommand(1, whatToDo),
    handler: () => {
      throw new UsageError(whatToDo);
    },
  };
}

async function runBuiltin(context: CliContext, name: string): Promise<void> {
  const { runModuleProcess } = await import('../module-process.ts');
  context.exit.code = await runModuleProcess(name);
}

/** Ends with the program, not before. */
async function runProgram(file: string, args: readonly string[]): Promise<void> {
  const { runNodeProgram } = await import('../node-program.ts');
  runNodeProgram(file, args);
  await new Promise(() => undefined);
}
