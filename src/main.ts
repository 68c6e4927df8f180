// The executable's entry: the arguments go to the command line, its answer becomes the exit code.
//
// `module run NAME` and `module run-node FILE`, as modules are started, go past the command line: parsing three words
// would cost every module more memory than many a module needs. Every other spelling of them takes the usual way.
//
// The process ends by itself when nothing is left to do, except that an exit is asked for when a handler is
// done: a stray timer must not keep a finished command alive. A JavaScript program never is done: it ends as Node ends.

/** In the packed executable as under node, the first two are the executable and the script's place. */
const argumentsStart = 2;

async function answer(words: readonly string[]): Promise<number> {
  const [group, verb, name, ...more] = words;
  if (group === 'module' && verb === 'run' && name !== undefined && /^[a-z]/.test(name) && more.length === 0) {
    const { runModuleProcess } = await import('./module-process.ts');
    return runModuleProcess(name);
  }
  if (group === 'module' && verb === 'run-node' && name !== undefined && !name.startsWith('-')) {
    const { runNodeProgram } = await import('./node-program.ts');
    runNodeProgram(name, more);
    return new Promise(() => undefined);
  }
  const { runCli, systemContext } = await import('./cli/index.ts');
  return runCli(words, systemContext());
}

void answer(process.argv.slice(argumentsStart)).then((code) => {
  process.exit(code);
});
