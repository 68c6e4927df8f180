// Checks every import of src/ against the table in ARCHITECTURE.md, the doors of the folders, and cycles.
//
//   node imports.mjs [ROOT]
//
// The table is the one whose header is
//   | folder | may import values | may import types | npm | node: |
// A folder may import itself; what it may import as values it may import as types. `import type` and types
// written import('x').T count as types; import(), require() and `import { type T }` count as values, because
// they load the module at run time. A folder is entered by its index.ts, except the ground (OPEN_FOLDERS).
import * as fs from 'node:fs';
import { builtinModules } from 'node:module';
import * as path from 'node:path';
import ts from 'typescript';
import { createReport, lineOf, readSources } from './sources.mjs';

const HEADER = ['folder', 'may import values', 'may import types', 'npm', 'node:'];
const OPEN_FOLDERS = new Set(['model', 'protocol', 'platform']);

const root = path.resolve(process.argv[2] ?? '.');
const report = createReport('imports');

function cells(line) {
  return line
    .trim()
    .replace(/^\||\|$/g, '')
    .split('|')
    .map((cell) => cell.trim().replaceAll('`', ''));
}

function list(cell) {
  return new Set(
    cell
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== ''),
  );
}

/** Folder -> what it may import. */
function readTable() {
  const file = path.join(root, 'ARCHITECTURE.md');
  const lines = fs.existsSync(file) ? fs.readFileSync(file, 'utf8').split('\n') : [];
  const start = lines.findIndex((line) => line.startsWith('|') && cells(line).join('|') === HEADER.join('|'));
  const table = new Map();
  if (start < 0) {
    report.add(
      'ARCHITECTURE.md',
      1,
      'the import table is missing',
      `add a table with the header ${HEADER.join(' | ')}`,
    );
    return table;
  }
  for (const line of lines.slice(start + 2)) {
    if (!line.startsWith('|')) break;
    const [folder, values, types, npm, node] = cells(line);
    table.set(folder, { values: list(values), types: list(types), npm: list(npm), node: list(node) });
  }
  return table;
}

/** `broker` for src/broker/x.ts, `limits.ts` for src/limits.ts. */
function folderOf(file) {
  return file.split(path.sep)[1];
}

/** Every import of a source: {specifier, typeOnly, node}. */
function importsOf(source) {
  const found = [];
  const take = (node, literal, typeOnly) => {
    if (literal !== undefined && ts.isStringLiteralLike(literal))
      found.push({ specifier: literal.text, typeOnly, node });
  };
  const visit = (node) => {
    if (ts.isImportDeclaration(node)) take(node, node.moduleSpecifier, node.importClause?.isTypeOnly === true);
    else if (ts.isExportDeclaration(node)) take(node, node.moduleSpecifier, node.isTypeOnly);
    else if (ts.isImportEqualsDeclaration(node) && ts.isExternalModuleReference(node.moduleReference))
      take(node, node.moduleReference.expression, node.isTypeOnly);
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) take(node, node.argument.literal, true);
    else if (ts.isCallExpression(node)) {
      const called = node.expression;
      const loads =
        called.kind === ts.SyntaxKind.ImportKeyword || (ts.isIdentifier(called) && called.text === 'require');
      if (loads) take(node, node.arguments[0], false);
    }
    ts.forEachChild(node, visit);
  };
  visit(source.parsed);
  return found;
}

function checkNode(source, found, rule) {
  const name = found.specifier.replace(/^node:/, '').split('/')[0];
  const line = lineOf(source, found.node);
  if (!found.specifier.startsWith('node:'))
    report.add(source.file, line, `'${found.specifier}' is imported without node:`, `write 'node:${found.specifier}'`);
  if (rule.node.has('any') || rule.node.has(name)) return;
  const folder = folderOf(source.file);
  report.add(
    source.file,
    line,
    `${folder} may not import node:${name}`,
    'take what you need as a constructor parameter typed by src/platform, or change the table in ARCHITECTURE.md',
  );
}

function checkNpm(source, found, rule) {
  const parts = found.specifier.split('/');
  const name = found.specifier.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0];
  if (rule.npm.has(name)) return;
  report.add(
    source.file,
    lineOf(source, found.node),
    `${folderOf(source.file)} may not import the npm package ${name}`,
    'each package enters through one folder; use what that folder offers, or change the table in ARCHITECTURE.md',
  );
}

function checkDoor(source, found, target) {
  const folder = folderOf(source.file);
  const other = folderOf(target);
  const line = lineOf(source, found.node);
  const isDoor = target === path.join('src', other, 'index.ts');
  if (folder === other) {
    if (isDoor && source.file !== target)
      report.add(source.file, line, `${folder} enters itself by its own door`, 'import the file that has the name');
    return;
  }
  if (isDoor || OPEN_FOLDERS.has(other) || other.endsWith('.ts')) return;
  report.add(
    source.file,
    line,
    `${path.relative('src', target)} is inside ${other}`,
    `import src/${other}/index.ts, and let that door offer the name`,
  );
}

function checkInside(source, found, rule, known) {
  const folder = folderOf(source.file);
  const line = lineOf(source, found.node);
  const target = path.normalize(path.join(path.dirname(source.file), found.specifier));
  if (!fs.existsSync(path.join(root, target))) {
    report.add(source.file, line, `there is no ${target}`, 'write the whole file name, with its .ts');
    return undefined;
  }
  if (!known.has(target)) {
    if (!target.startsWith(`src${path.sep}`))
      report.add(source.file, line, `${target} is outside src`, 'the executable holds nothing but src');
    return undefined;
  }
  checkDoor(source, found, target);
  const other = folderOf(target);
  if (folder === other || rule.values.has(other)) return target;
  if (rule.types.has(other)) {
    if (found.typeOnly) return target;
    report.add(
      source.file,
      line,
      `${folder} may import only types of ${other}`,
      'write `import type`, and take the real thing as a constructor parameter',
    );
    return target;
  }
  report.add(
    source.file,
    line,
    `${folder} may not import ${other}`,
    `declare what it needs in src/${folder}/ports.ts, and let device.ts or cloud.ts plug it in`,
  );
  return target;
}

/** Reports one cycle for each group of files that import each other's values. */
function checkCycles(edges) {
  const state = new Map();
  const trail = [];
  const visit = (file) => {
    state.set(file, 'open');
    trail.push(file);
    for (const { target, line } of edges.get(file) ?? []) {
      if (state.get(target) === 'open') {
        const cycle = [...trail.slice(trail.indexOf(target)), target].join(' -> ');
        report.add(file, line, `values go in a circle: ${cycle}`, 'move what both need below them, or import a type');
      } else if (!state.has(target)) visit(target);
    }
    trail.pop();
    state.set(file, 'done');
  };
  for (const file of edges.keys()) if (!state.has(file)) visit(file);
}

const table = readTable();
const sources = readSources(root);
const known = new Set(sources.map(({ file }) => file));
const edges = new Map();
const builtins = new Set(builtinModules);
for (const source of sources) {
  const folder = folderOf(source.file);
  const rule = table.get(folder);
  if (rule === undefined) {
    if (table.size > 0)
      report.add(source.file, 1, `${folder} has no row in the import table`, 'add one to ARCHITECTURE.md');
    continue;
  }
  const targets = [];
  for (const found of importsOf(source)) {
    const { specifier } = found;
    if (specifier.startsWith('.')) {
      const target = checkInside(source, found, rule, known);
      if (target !== undefined && !found.typeOnly) targets.push({ target, line: lineOf(source, found.node) });
    } else if (specifier.startsWith('node:') || builtins.has(specifier)) checkNode(source, found, rule);
    else checkNpm(source, found, rule);
  }
  edges.set(source.file, targets);
}
checkCycles(edges);
report.finish();
