// The executable's entry: the arguments go to the command line, its answer becomes the exit code.
//
// The process ends by itself when nothing is left to do, except that an exit is asked for when a handler is
// done: a stray timer must not keep a finished command alive.

import { runCli, systemContext } from './cli/index.ts';

/** In the packed executable as under node, the first two are the executable and the script's place. */
const argumentsStart = 2;

void runCli(process.argv.slice(argumentsStart), systemContext()).then((code) => {
  process.exit(code);
});
