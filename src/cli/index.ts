// The door of the command line.

export { runCli } from './cli.ts';
export { systemContext } from './context.ts';
