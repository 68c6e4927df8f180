// Runs test files, each a program of its own that tells its results by tap, and tells what it saw.
//
//   node run-tests.mjs FILE...
//
// Some run at a time (package.json "tap": jobs), in the order given. One line for each file when it is through, the
// diagnosis of each failure where it happens, its beginning once more at the end, and the last line
//   N passed, N failed[, N skipped]
// which counts tap's own results. A file fails as well that ends with an exit code, without a plan, or not in time.
// Ends with 1 when a test failed or when nothing ran. All that the files said is in out/log/tests.tap.
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { Parser } from 'tap-parser';
import { transpile } from './typescript.mjs';

const SIGN_OF_LIFE_MS = 30_000;
const EXCERPT_LINES_MAX = 120;
/** Of each failure once more at the end, where everybody looks. */
const CLOSING_LINES_MAX = 15;
const REMARKS_MAX = 40;
const TITLE_CHARACTERS_MAX = 200;
const DETAIL_CHARACTERS_MAX = 10_000;
const SAID_CHARACTERS_MAX = 20_000;
// tap ends a test that is late by itself, with a diagnosis; this is for a process that does not listen any more.
const GRACE_MS = 30_000;

const { jobs, timeout: timeoutSeconds } = JSON.parse(fs.readFileSync('package.json', 'utf8')).tap;
const startedAt = Date.now();
const counts = { pass: 0, fail: 0, skip: 0 };
const failures = [];
let lastLineAt = Date.now();

function say(text) {
  lastLineAt = Date.now();
  process.stdout.write(`${text}\n`);
}

function seconds(since) {
  return ((Date.now() - since) / 1000).toFixed(1);
}

function count(result) {
  if (result.todo) return;
  if (result.skip) counts.skip += 1;
  else if (result.ok) counts.pass += 1;
  else counts.fail += 1;
}

function indent(text, linesMax = EXCERPT_LINES_MAX) {
  const lines = text.trimEnd().split('\n');
  const kept = lines.slice(0, linesMax).map((line) => `         | ${line}`);
  if (lines.length > linesMax) kept.push(`         | ... ${lines.length - linesMax} lines more`);
  return kept.join('\n');
}

/** What tap knows of a failure, the place first, texts of several lines as they are. */
function diagnosis(diag) {
  if (diag === null || diag === undefined) return '';
  if (typeof diag === 'string') return diag;
  const { at, ...others } = diag;
  const told = Object.entries(others).map(([name, value]) => {
    if (typeof value !== 'string') return `${name}: ${JSON.stringify(value)}`;
    return value.trimEnd().includes('\n') ? `${name}:\n${value.trimEnd()}` : `${name}: ${value.trimEnd()}`;
  });
  if (at?.fileName !== undefined) told.unshift(`at ${at.fileName}:${at.lineNumber}:${at.columnNumber}`);
  return told.join('\n');
}

/** A message of many lines is a title in a list by its beginning; the whole of it is told once, below. */
function title(text) {
  const line = text.replaceAll(/\s+/g, ' ');
  return line.length > TITLE_CHARACTERS_MAX ? `${line.slice(0, TITLE_CHARACTERS_MAX)} …` : line;
}

function tellFailure(file, result) {
  const where = [file, result.fullname ?? ''].filter((part) => part !== '').join(' > ');
  const what = where.endsWith(result.name) ? where : `${where} > ${result.name}`;
  say(`  FAILED ${title(what)}`);
  const long = result.name.length > TITLE_CHARACTERS_MAX ? `${result.name}\n` : '';
  const text = shortened(diagnosis(result.diag) + (long === '' ? '' : `\n${long}`));
  failures.push(text === '' ? `  ${title(what)}` : `  ${title(what)}\n${indent(text, CLOSING_LINES_MAX)}`);
  if (text !== '') say(indent(text));
}

/** Its beginning says what and where, its end what the programs said last. */
function shortened(text) {
  const half = DETAIL_CHARACTERS_MAX / 2;
  return text.length <= 2 * half ? text : `${text.slice(0, half)}\n ...\n${text.slice(-half)}`;
}

/** What a test remarked (`t.comment`): seeds, figures, what it drew. */
function remarks(output) {
  const lines = output.split('\n').filter((line) => /^ *# (?!Subtest|time=|\{ total)/.test(line));
  return lines.slice(-REMARKS_MAX).join('\n');
}

/** Counts and tells the results of one file as they come; resolves to tap's final ones. */
function listen(file, output) {
  const parser = new Parser();
  let hasFailed = false;
  parser.on('result', count);
  parser.on('fail', (result) => {
    if (result.todo || result.skip) return;
    hasFailed = true;
    tellFailure(file, result);
  });
  parser.on('bailout', (reason) => say(`  FAILED ${file} gave up: ${reason}`));
  output.pipe(parser);
  return new Promise((resolve) => parser.on('complete', (results) => resolve({ results, hasFailed })));
}

const running = new Set();

function start(file) {
  const child = spawn(process.execPath, ['--enable-source-maps', '--import', './native/check/typescript.mjs', file], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...process.env, TAP: '1', TAP_TIMEOUT: String(timeoutSeconds), FORCE_COLOR: '0' },
  });
  running.add(child);
  let timer;
  const expect = (ms) => {
    clearTimeout(timer);
    timer = setTimeout(() => child.kill('SIGKILL'), ms + GRACE_MS);
  };
  expect(timeoutSeconds * 1000);
  child.on('message', (message) => {
    if (typeof message?.setTimeout === 'number') expect(message.setTimeout);
  });
  child.on('close', () => {
    clearTimeout(timer);
    running.delete(child);
  });
  return child;
}

async function run(file) {
  const since = Date.now();
  const child = start(file);
  const raw = [];
  let said = '';
  child.stdout.on('data', (chunk) => raw.push(chunk));
  child.stderr.on('data', (chunk) => {
    said = (said + String(chunk)).slice(-SAID_CHARACTERS_MAX);
  });
  const [{ results, hasFailed }, [code, signal]] = await Promise.all([
    listen(file, child.stdout),
    new Promise((resolve) => child.on('close', (...ended) => resolve(ended))),
  ]);
  const output = Buffer.concat(raw);
  fs.appendFileSync('out/log/tests.tap', Buffer.concat([Buffer.from(`# Subtest: ${file}\n`), output]));
  const isEmpty = results.count === 0 && [undefined, '', 'no tests found'].includes(results.plan.skipReason);
  const isWhole = results.ok && code === 0 && !isEmpty;
  if (!isWhole && !hasFailed) {
    count({ ok: false });
    const how = `ended with ${signal ?? `exit code ${code}`}`;
    tellFailure(file, { name: `${how} although ${isEmpty ? 'it told no result' : 'no test failed'}`, diag: said });
  } else if (said.trim() !== '') {
    say(`  ${file} said on its error output:\n${indent(said)}`);
  }
  const remarked = isWhole ? '' : remarks(output.toString());
  if (remarked !== '') say(`  ${file} remarked:\n${indent(remarked)}`);
  const isSkipped = results.plan.skipAll || (results.count > 0 && results.count === results.skip);
  const verdict = !isWhole ? 'FAILED' : isSkipped ? 'skip  ' : 'ok    ';
  say(`  ${verdict} ${file} (${seconds(since)} s)`);
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    for (const child of running) child.kill(signal);
    process.exit(1);
  });
}
const alive = setInterval(() => {
  if (Date.now() - lastLineAt >= SIGN_OF_LIFE_MS) say(`  ...    tests are running, ${seconds(startedAt)} s so far`);
}, SIGN_OF_LIFE_MS / 2);

await transpile();
fs.mkdirSync('out/log', { recursive: true });
fs.writeFileSync('out/log/tests.tap', '');
const waiting = process.argv.slice(2);
const take = async () => {
  for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) await run(file);
};
await Promise.all(Array.from({ length: jobs }, take));
clearInterval(alive);

if (process.env.WEIR_CHECK_FAILED === '1') {
  counts.fail += 1;
  failures.push('  make check found something to mend: that counts as one failure');
}
if (failures.length > 0) say(`\n${failures.length} failed:\n${failures.join('\n')}`);
if (counts.pass + counts.fail === 0) {
  say('no test ran');
  counts.fail = 1;
}
say(`tests took ${seconds(startedAt)} s`);
say(`${counts.pass} passed, ${counts.fail} failed${counts.skip > 0 ? `, ${counts.skip} skipped` : ''}`);
process.exitCode = counts.fail === 0 ? 0 : 1;
