// House style that a machine can judge, over src/ (and unfinished-work marks everywhere).
//
//   node tidy.mjs [ROOT]
//
// Each rule is one function below, with the reason in its mend. There is no list of exceptions: a rule that
// needs one is wrong and is changed here.
import * as fs from 'node:fs';
import * as path from 'node:path';
import ts from 'typescript';
import { createReport, lineOf, listFiles, readSources } from './sources.mjs';

const FILE_LINES_MAX = 500;
const FUNCTION_LINES_MAX = 70;
const PARAMETERS_MAX = 3;
const HEADER_LINES_MIN = 1;
const DOOR_NAMES_MAX = 12;

const GRAB_BAGS = /^(utils?|helpers?|common|shared|core|lib|misc|types|interfaces)$/;
const KEBAB = /^[a-z0-9]+(-[a-z0-9]+)*$/;
const EMPTY_SUFFIX = /(Manager|Service|Handler|Helper)$/;
const MARKS = new RegExp(
  `\\b(${['TO', 'FIX', 'XX', 'HA'].map((s, at) => s + ['DO', 'ME', 'X', 'CK'][at]).join('|')})\\b`,
);
const CODE = /^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$/;
/** Where the machine may be touched directly. */
const MACHINE_FOLDERS = new Set(['platform', 'cli']);
/** Files that may do something at import: the start of a program. */
const STARTS = new Set(['src/main.ts', 'src/store-thread.ts', 'src/limits.ts']);
const MACHINE_CALLS = new Set([
  'setTimeout',
  'setInterval',
  'setImmediate',
  'clearTimeout',
  'clearInterval',
  'clearImmediate',
  'fetch',
]);
const MACHINE_MEMBERS = new Set(['Date.now', 'Math.random', 'performance.now', 'process.hrtime', 'crypto.randomUUID']);
const MACHINE_MODULES = new Set([
  ...['fs', 'net', 'http', 'https', 'tls', 'dgram', 'dns', 'child_process', 'worker_threads', 'timers'].map(String),
  ...['perf_hooks', 'os', 'cluster'],
]);

const root = path.resolve(process.argv[2] ?? '.');
const report = createReport('tidy');

function folderOf(file) {
  return file.split(path.sep)[1];
}

function walk(node, visit) {
  visit(node);
  ts.forEachChild(node, (child) => walk(child, visit));
}

function checkNames(source) {
  const parts = source.file.split(path.sep).slice(1);
  const stem = path.basename(source.file, '.ts');
  for (const part of [...parts.slice(0, -1), stem]) {
    if (GRAB_BAGS.test(part))
      report.add(source.file, 1, `'${part}' is a grab-bag`, 'name the concept that owns the code');
    if (!KEBAB.test(part)) report.add(source.file, 1, `'${part}' is not kebab-case`, 'rename it');
  }
  if (/-(manager|service|handler|helper)$/.test(stem))
    report.add(source.file, 1, `'${stem}' ends in an empty word`, 'use the noun it stands for');
}

function checkHeader(source) {
  const lines = source.parsed.text.split('\n');
  let count = 0;
  if (lines[0]?.startsWith('/*')) count = lines.findIndex((line) => line.includes('*/')) + 1;
  else while (lines[count]?.startsWith('//')) count += 1;
  if (count < HEADER_LINES_MIN)
    report.add(source.file, 1, 'the file has no header', 'say what it owns, what not, its invariants, and why');
}

/** Nothing but named constants and what holds between them: a list to look things up in, however long. */
function isTable(source) {
  return source.parsed.statements.every((statement) => {
    if (ts.isImportDeclaration(statement)) return true;
    if (ts.isExpressionStatement(statement)) return /^assert\b/.test(statement.getText(source.parsed));
    if (!ts.isVariableStatement(statement)) return false;
    let computes = false;
    walk(statement, (node) => {
      if (isFunction(node)) computes = true;
    });
    return !computes;
  });
}

function checkSize(source) {
  const lines = source.parsed.text.trimEnd().split('\n').length;
  if (lines > FILE_LINES_MAX && !isTable(source))
    report.add(source.file, FILE_LINES_MAX, `${lines} lines, the limit is ${FILE_LINES_MAX}`, 'split it by concept');
}

function isFunction(node) {
  return ts.isFunctionLike(node) && 'body' in node && node.body !== undefined;
}

function nameOf(node) {
  if (node.name !== undefined) return node.name.getText();
  if (node.parent !== undefined && 'name' in node.parent && node.parent.name !== undefined)
    return node.parent.name.getText();
  return ts.isConstructorDeclaration(node) ? 'constructor' : 'a function';
}

function checkFunction(source, node) {
  const { parsed } = source;
  const first = lineOf(source, node);
  const lines = parsed.getLineAndCharacterOfPosition(node.getEnd()).line + 2 - first;
  if (lines > FUNCTION_LINES_MAX)
    report.add(
      source.file,
      first,
      `${nameOf(node)} has ${lines} lines, the limit is ${FUNCTION_LINES_MAX}`,
      'split it',
    );
  const positional = node.parameters.filter(({ name }) => name.getText(parsed) !== 'this').length;
  if (positional > PARAMETERS_MAX)
    report.add(
      source.file,
      first,
      `${nameOf(node)} has ${positional} parameters, the limit is ${PARAMETERS_MAX}`,
      'take an options object',
    );
}

function checkDeclaredName(source, node) {
  if (!(ts.isClassDeclaration(node) || ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node))) return;
  const name = node.name?.text ?? '';
  if (/^I[A-Z][a-z]/.test(name) && ts.isInterfaceDeclaration(node))
    report.add(
      source.file,
      lineOf(source, node),
      `${name} starts with I`,
      'an interface is named like what it stands for',
    );
  // A function type may be called a handler; a thing that lives may not.
  if (EMPTY_SUFFIX.test(name) && !ts.isTypeAliasDeclaration(node))
    report.add(source.file, lineOf(source, node), `${name} ends in an empty word`, 'use the noun it stands for');
}

function checkError(source, node) {
  if (!ts.isNewExpression(node) || node.expression.getText(source.parsed) !== 'Error') return;
  report.add(
    source.file,
    lineOf(source, node),
    'new Error( has no code',
    "use a class of the folder's errors.ts, or assert",
  );
}

function machineUse(source, node) {
  if (ts.isCallExpression(node) && ts.isIdentifier(node.expression) && MACHINE_CALLS.has(node.expression.text))
    return node.expression.text;
  if (ts.isPropertyAccessExpression(node)) {
    const text = node.getText(source.parsed);
    if (MACHINE_MEMBERS.has(text)) return text;
  }
  if (ts.isNewExpression(node) && node.expression.getText(source.parsed) === 'Date' && !node.arguments?.length)
    return 'new Date()';
  if (ts.isImportDeclaration(node) && node.importClause?.isTypeOnly !== true) {
    const name = node.moduleSpecifier.text.replace(/^node:/, '').split('/')[0];
    if (MACHINE_MODULES.has(name)) return `node:${name}`;
  }
  return undefined;
}

function checkMachine(source, node) {
  if (MACHINE_FOLDERS.has(folderOf(source.file))) return;
  const used = machineUse(source, node);
  if (used === undefined) return;
  report.add(
    source.file,
    lineOf(source, node),
    `${used} touches the machine`,
    'take it as a constructor parameter typed by src/platform, so that the simulator can be the machine',
  );
}

/** The door of an npm package may set the package up before anybody uses it. */
function isNpmDoor(source) {
  return source.parsed.statements.some(
    (statement) =>
      ts.isImportDeclaration(statement) && /^(@?[a-z])/.test(statement.moduleSpecifier.text.replace(/^node:.*/, '.')),
  );
}

function checkTopLevel(source) {
  const atStart = STARTS.has(source.file) || isNpmDoor(source);
  for (const statement of source.parsed.statements) {
    if (ts.isVariableStatement(statement) && (statement.declarationList.flags & ts.NodeFlags.Const) === 0) {
      const isDeclared = statement.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.DeclareKeyword) ?? false;
      if (!isDeclared)
        report.add(
          source.file,
          lineOf(source, statement),
          'state at the top of a module',
          'give it an owner with a life',
        );
    }
    if (ts.isExpressionStatement(statement) && !atStart)
      report.add(source.file, lineOf(source, statement), 'work at import', 'do it in a function that somebody calls');
  }
}

function checkDoorSize(source) {
  const parts = source.file.split(path.sep);
  if (parts.length !== 3 || parts[2] !== 'index.ts') return;
  let names = 0;
  for (const statement of source.parsed.statements) {
    if (!ts.isExportDeclaration(statement)) continue;
    if (statement.exportClause === undefined || !ts.isNamedExports(statement.exportClause))
      report.add(source.file, lineOf(source, statement), 'export * hides what the door offers', 'name each export');
    else names += statement.exportClause.elements.length;
  }
  if (names > DOOR_NAMES_MAX)
    report.add(source.file, 1, `the door offers ${names} names, the limit is ${DOOR_NAMES_MAX}`, 'offer less');
}

function checkMarks() {
  const isText = (name) => /\.(ts|mjs|cjs|js|sh|c|h|md)$/.test(name);
  const files = ['src', 'test', 'native', 'docs', 'boards'].flatMap((folder) => listFiles(root, folder, isText));
  for (const file of files)
    for (const [at, line] of fs.readFileSync(path.join(root, file), 'utf8').split('\n').entries()) {
      const found = MARKS.exec(line);
      if (found !== null) report.add(file, at + 1, `${found[1]} marks unfinished work`, 'finish it, or file it');
    }
}

/** Error codes that the sources can give: {code -> first place}. */
function codesOfSources(sources) {
  // A code starts with the name of its folder, or of the folder inside it that gives it: BROKER_, IOTHUB_.
  const prefixes = new Set(
    sources
      .flatMap(({ file }) => [folderOf(file), ...file.split('/').slice(1, -1)])
      .map((folder) => folder.replace(/\.ts$/, '').replaceAll('-', '_').toUpperCase()),
  );
  const codes = new Map();
  const take = (code, file, line) => {
    const known = CODE.test(code) && [...prefixes].some((prefix) => code.startsWith(`${prefix}_`));
    if (known && !codes.has(code)) codes.set(code, { file, line });
  };
  for (const source of sources)
    walk(source.parsed, (node) => {
      if (ts.isStringLiteralLike(node)) take(node.text, source.file, lineOf(source, node));
    });
  for (const file of listFiles(root, 'native', (name) => name.endsWith('.c')))
    for (const [at, line] of fs.readFileSync(path.join(root, file), 'utf8').split('\n').entries())
      for (const found of line.matchAll(/"([A-Z0-9_]+)"/g)) take(found[1], file, at + 1);
  return codes;
}

function checkErrorCodes(sources) {
  const file = path.join('docs', 'ERRORS.md');
  const text = fs.existsSync(path.join(root, file)) ? fs.readFileSync(path.join(root, file), 'utf8') : '';
  const documented = new Map();
  for (const [at, line] of text.split('\n').entries()) {
    const found = /^\|\s*`?([A-Z][A-Z0-9_]+)`?\s*\|/.exec(line);
    if (found === null) continue;
    if (documented.has(found[1])) report.add(file, at + 1, `${found[1]} stands here twice`, 'keep one row');
    documented.set(found[1], at + 1);
  }
  const given = codesOfSources(sources);
  for (const [code, place] of given)
    if (!documented.has(code))
      report.add(place.file, place.line, `${code} is not in ${file}`, 'add its row: when, and the mend');
  for (const [code, line] of documented)
    if (!given.has(code))
      report.add(file, line, `${code} is given nowhere in src`, 'remove the row, or give the error');
}

const sources = readSources(root);
for (const source of sources) {
  checkNames(source);
  checkHeader(source);
  checkSize(source);
  checkTopLevel(source);
  checkDoorSize(source);
  walk(source.parsed, (node) => {
    if (isFunction(node)) checkFunction(source, node);
    checkDeclaredName(source, node);
    checkError(source, node);
    checkMachine(source, node);
  });
}
checkMarks();
checkErrorCodes(sources);
report.finish();
