// A JavaScript program on the Node inside this executable: the root of `weir module run-node FILE`.
//
// Runs it as `node FILE` would: Node's own start of a main program decides between CommonJS and ES modules, finds
// packages beside the file, and makes an uncaught error a stack on standard error and exit code 1. So a module needs
// neither Node nor a container on the device.
//
//   process.argv      [this executable, absolute path of FILE, ...arguments]
//   process.execPath  this executable, which is not a `node`: run on its own it takes weir's commands
//   process.execArgv  ['module', 'run-node'], so that child_process.fork() and cluster start their files the same way
//
// Nothing else of weir is loaded. The event loop's end is the process's end, as with node.

import Module from 'node:module';
import { resolve } from 'node:path';

const runNode = ['module', 'run-node'];

/** The program runs from the next turn on; what it throws is nobody's but Node's. */
export function runNodeProgram(file: string, args: readonly string[]): void {
  const main = resolve(file);
  process.argv.splice(1, process.argv.length, main, ...args);
  process.execArgv.splice(0, process.execArgv.length, ...runNode);
  process.nextTick(() => Module.runMain(main));
}
