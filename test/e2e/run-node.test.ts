// JavaScript programs on the Node inside the executable: as node would run them, with their packages, to their end.

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import { Program, type ProgramResult, until } from '../support/world/program.ts';
import { readyMs, weirBinary } from '../support/world/world.ts';

/** What a process has for itself alone once it has started; 8.3 MB on x64. */
const memoryKibMax = 12_000;

/** The files in a directory of the test's own; answers how to run one of them. */
function programs(t: Test, files: Readonly<Record<string, string>>) {
  const directory = t.testdir({});
  // The nearest package.json decides what a .js file is, and this tree's own says ES modules.
  for (const [name, text] of Object.entries({ 'package.json': '{}', ...files })) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
  const start = (file: string, ...args: readonly string[]): Program => {
    // The test runner gives all processes that it sees a preload of its own, which would be measured, too.
    const bare = ['env', '-u', 'NODE_OPTIONS', weirBinary];
    const program = new Program([...bare, 'module', 'run-node', join(directory, file), ...args], {});
    t.teardown(() => program.end('SIGKILL'));
    return program;
  };
  const run = (file: string, ...args: readonly string[]): Promise<ProgramResult> => start(file, ...args).result();
  return { directory, start, run };
}

t.test('a CommonJS program finds its arguments, its packages and itself', async (t) => {
  const { run, directory } = programs(t, {
    'app.js': `const { double } = require('pack'); const own = require('./own.json');
      console.log(JSON.stringify([process.argv.slice(1), process.execPath, require.main === module, double(own.n), __dirname]));`,
    'own.json': '{"n": 21}',
    'node_modules/pack/package.json': '{"name": "pack", "version": "1.0.0", "main": "lib.js"}',
    'node_modules/pack/lib.js': 'exports.double = (n) => 2 * n;',
  });
  const { code, stdout, stderr } = await run('app.js', '--flag', 'a b', '--config', 'x', '--help');
  t.same([code, stderr], [0, '']);
  t.same(JSON.parse(stdout), [
    [join(directory, 'app.js'), '--flag', 'a b', '--config', 'x', '--help'],
    weirBinary,
    true,
    42,
    directory,
  ]);
});

t.test('ES modules run: by their name, by their package, with await at the top and import()', async (t) => {
  const { run, directory } = programs(t, {
    'app.mjs': `import { readFileSync } from 'node:fs'; import { word } from 'pack';
      const { default: late } = await import('./late.mjs');
      console.log(JSON.stringify([word, late, import.meta.url, typeof readFileSync, process.argv[2]]));`,
    'late.mjs': 'export default await Promise.resolve("late");',
    'typed/package.json': '{"type": "module"}',
    'typed/app.js': 'import { word } from "pack"; console.log(word);',
    'mixed.cjs': 'import("./late.mjs").then(({ default: late }) => console.log(late));',
    'node_modules/pack/package.json': '{"name": "pack", "exports": {"import": "./i.mjs", "require": "./r.js"}}',
    'node_modules/pack/i.mjs': 'export const word = "imported";',
    'node_modules/pack/r.js': 'exports.word = "required";',
  });
  const app = await run('app.mjs', 'x');
  t.equal(app.stderr, '');
  t.same(JSON.parse(app.stdout), ['imported', 'late', `file://${join(directory, 'app.mjs')}`, 'function', 'x']);
  t.match(await run('typed/app.js'), { code: 0, stdout: 'imported\n' });
  t.match(await run('mixed.cjs'), { code: 0, stdout: 'late\n' });
});

const ends: readonly (readonly [string, string, number | null, RegExp])[] = [
  ['throws at once', 'throw new TypeError("boom");', 1, /app\.js:1[\s\S]*TypeError: boom\n {4}at .*app\.js:1/],
  ['throws later', 'setTimeout(() => { throw new TypeError("boom"); });', 1, /TypeError: boom\n {4}at .*app\.js:1/],
  ['rejects and nobody hears', 'Promise.reject(new TypeError("boom"));', 1, /TypeError: boom/],
  ['cannot be parsed', 'const = 1;', 1, /SyntaxError/],
  ['requires what is not there', 'require("./gone");', 1, /Cannot find module '\.\/gone'/],
  ['says its exit code', 'process.exitCode = 78;', 78, /^$/],
  ['exits by itself', 'process.exit(75);', 75, /^$/],
  [
    'hears its own errors',
    'process.on("uncaughtException", (e) => console.error(e.message)); throw new TypeError("heard");',
    0,
    /^heard\n$/,
  ],
  ['does nothing', '', 0, /^$/],
];

for (const [name, text, code, stderr] of ends)
  t.test(`a program that ${name} ends with ${code}`, async (t) => {
    const { run } = programs(t, { 'app.js': text });
    t.match(await run('app.js'), { code, stderr });
  });

t.test('a file that is not there ends with 1 and its name', async (t) => {
  const { run } = programs(t, {});
  t.match(await run('gone.js'), { code: 1, stderr: /Cannot find module .*gone\.js/ });
});

t.test('it ends at SIGTERM, in its own way when it listens', async (t) => {
  const { start } = programs(t, {
    'plain.js': 'setInterval(() => undefined, 1000); console.log("up");',
    'polite.js':
      'const i = setInterval(() => undefined, 1000); process.on("SIGTERM", () => { clearInterval(i); console.log("bye"); }); console.log("up");',
  });
  for (const [file, code] of [
    ['plain.js', null],
    ['polite.js', 0],
  ] as const) {
    const program = start(file);
    await program.line('up', readyMs);
    await program.end('SIGTERM');
    t.match(await program.result(), { code, stdout: code === 0 ? /bye/ : /up/ });
  }
});

t.test('fork(), cluster and worker threads start the same Node', async (t) => {
  const { run } = programs(t, {
    'app.js': `const { fork } = require('node:child_process'); const { Worker } = require('node:worker_threads');
      fork(__dirname + '/child.mjs', ['one']).on('message', (text) => console.log('fork ' + text));
      new Worker(__dirname + '/worker.mjs', { workerData: 2 }).on('message', (text) => console.log('worker ' + text));`,
    'child.mjs': 'process.send(process.argv.slice(2).join()); process.disconnect();',
    'worker.mjs': 'import { parentPort, workerData } from "node:worker_threads"; parentPort.postMessage(workerData);',
    'cluster.js': `const cluster = require('node:cluster');
      if (cluster.isPrimary) cluster.fork().on('message', (text) => { console.log(text); cluster.disconnect(); });
      else process.send('from a worker');`,
  });
  const { code, stdout, stderr } = await run('app.js');
  t.same([code, stderr, stdout.trim().split('\n').sort()], [0, '', ['fork one', 'worker 2']]);
  t.match(await run('cluster.js'), { code: 0, stdout: 'from a worker\n' });
});

t.test("Microsoft's module client runs as it was published", async (t) => {
  const { run, directory } = programs(t, {
    'app.js': `const { Message, ModuleClient } = require('azure-iot-device'); const { Mqtt } = require('azure-iot-device-mqtt');
      console.log(new Message('x').getBytes().toString());
      ModuleClient.fromEnvironment(Mqtt).catch((error) => console.log(error.message));`,
  });
  symlinkSync(resolve('node_modules'), join(directory, 'node_modules'));
  const { code, stdout } = await run('app.js');
  t.same([code, stdout], [0, 'x\nEnvironment variable IOTEDGE_WORKLOADURI was not provided.\n']);
});

t.test('a program that does nothing has little memory of its own', async (t) => {
  const { start } = programs(t, { 'app.js': 'setInterval(() => undefined, 1000); console.log("up");' });
  const program = start('app.js');
  await program.line('up', readyMs);
  const kib = await until(`less than ${memoryKibMax} KiB of its own`, readyMs, async () => {
    const rollup = await readFile(`/proc/${program.pid}/smaps_rollup`, 'utf8');
    const found = Number(/^Private_Dirty:\s+(\d+) kB/m.exec(rollup)?.[1] ?? Number.NaN);
    return found < memoryKibMax ? found : undefined;
  });
  t.comment(`${kib} KiB of its own`);
});

t.test('weir module says how it is used', async (t) => {
  const help = await new Program([weirBinary, 'module', 'run-node', '--help'], {}).result();
  t.match(help, { code: 0, stdout: /run-node <file> \[args\.\.\]/ });
  t.match(await new Program([weirBinary, 'module', 'run-node'], {}).result(), { code: 2 });
});
