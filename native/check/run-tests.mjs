// Runs tests with tap and tells what it saw, while it happens and at the end.
//
//   node run-tests.mjs FILE-or-GLOB...
//
// One line for each test file when it is through, the whole diagnosis of each failure, and the last line
//   N passed, N failed[, N skipped]
// which counts tap's own results. Ends with 1 when a test failed, when tap itself failed, or when nothing ran.
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { Parser } from 'tap-parser';

const SIGN_OF_LIFE_MS = 30_000;
const EXCERPT_LINES_MAX = 60;

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

function indent(text) {
  const lines = text.trimEnd().split('\n');
  const kept = lines.slice(0, EXCERPT_LINES_MAX).map((line) => `         | ${line}`);
  if (lines.length > EXCERPT_LINES_MAX) kept.push(`         | ... ${lines.length - EXCERPT_LINES_MAX} lines more`);
  return kept.join('\n');
}

function diagnosis(diag) {
  if (diag === null || diag === undefined) return '';
  return typeof diag === 'string' ? diag : JSON.stringify(diag, null, 2);
}

const TITLE_CHARACTERS_MAX = 200;
const DETAIL_CHARACTERS_MAX = 6000;

/** A message of many lines is a title in a list by its beginning; the whole of it is told once, below. */
function title(text) {
  const line = text.replaceAll(/\s+/g, ' ');
  return line.length > TITLE_CHARACTERS_MAX ? `${line.slice(0, TITLE_CHARACTERS_MAX)} …` : line;
}

function tellFailure(result) {
  const where = result.fullname || '';
  const what = where.endsWith(result.name) ? where : `${where} > ${result.name}`;
  failures.push(title(what));
  say(`  FAILED ${title(what)}`);
  const long = result.name.length > TITLE_CHARACTERS_MAX ? `${result.name}\n` : '';
  const text = long + diagnosis(result.diag);
  if (text !== '') say(indent(text.slice(-DETAIL_CHARACTERS_MAX)));
}

const parser = new Parser();
parser.on('result', count);
parser.on('fail', (result) => {
  if (!result.todo && !result.skip) tellFailure(result);
});
// Files are the children of the root; their own line comes when they are through.
parser.on('assert', (result) => {
  const verdict = result.skip ? 'skip  ' : result.ok ? 'ok    ' : 'FAILED';
  say(`  ${verdict} ${result.name}${result.time ? ` (${(result.time / 1000).toFixed(1)} s)` : ''}`);
});
parser.on('bailout', (reason) => say(`  FAILED tap gave up: ${reason}`));

fs.mkdirSync('out/log', { recursive: true });
const raw = fs.createWriteStream(path.join('out/log', 'tests.tap'));
const tap = spawn(
  process.execPath,
  [path.join('node_modules', 'tap', 'dist', 'esm', 'run.mjs'), 'run', '--reporter=tap', ...process.argv.slice(2)],
  { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, FORCE_COLOR: '0', TAP_ONLY: '' } },
);
tap.stdout.pipe(parser);
tap.stdout.pipe(raw);
let stderrText = '';
tap.stderr.on('data', (chunk) => {
  stderrText += String(chunk);
});
const alive = setInterval(() => {
  if (Date.now() - lastLineAt >= SIGN_OF_LIFE_MS) say(`  ...    tests are running, ${seconds(startedAt)} s so far`);
}, SIGN_OF_LIFE_MS / 2);

const [code, signal] = await new Promise((resolve) => tap.on('close', (...ended) => resolve(ended)));
clearInterval(alive);
if (stderrText.trim() !== '') say(`  tap said on its error output:\n${indent(stderrText)}`);
if (failures.length > 0) say(`\n${failures.length} failed:\n${failures.map((name) => `  ${name}`).join('\n')}`);
const total = counts.pass + counts.fail;
const runnerFailed = code !== 0 && counts.fail === 0;
if (runnerFailed) say(`tap ended with ${signal ?? `exit code ${code}`} although no test failed; see out/log/tests.tap`);
if (total === 0) say('no test ran');
say(`tests took ${seconds(startedAt)} s`);
const checkFailed = process.env.WEIR_CHECK_FAILED === '1';
if (checkFailed) say('make check found something to mend: that counts as one failure');
const failed = counts.fail + (runnerFailed || total === 0 ? 1 : 0) + (checkFailed ? 1 : 0);
say(`${counts.pass} passed, ${failed} failed${counts.skip > 0 ? `, ${counts.skip} skipped` : ''}`);
process.exitCode = failed === 0 && code === 0 ? 0 : 1;
