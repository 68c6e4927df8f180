// What both checkers need: the source files of a tree, parsed, and violations told the same way.
import * as fs from 'node:fs';
import * as path from 'node:path';
import ts from 'typescript';

/** @typedef {{file: string, parsed: import('typescript').SourceFile}} Source  `file` is relative to the tree. */

function filesBelow(dir, matches) {
  if (!fs.existsSync(dir)) return [];
  return fs
    .readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && matches(entry.name))
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** Paths below `root`/`folder`, relative to `root`. */
export function listFiles(root, folder, matches) {
  return filesBelow(path.join(root, folder), matches).map((file) => path.relative(root, file));
}

/** @returns {Source[]} */
export function readSources(root) {
  return listFiles(root, 'src', (name) => name.endsWith('.ts')).map((file) => {
    const text = fs.readFileSync(path.join(root, file), 'utf8');
    return { file, parsed: ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true, ts.ScriptKind.TS) };
  });
}

export function lineOf(source, node) {
  return source.parsed.getLineAndCharacterOfPosition(node.getStart(source.parsed)).line + 1;
}

/** Violations are kept whole, so that one run tells everything that is wrong. */
export function createReport(name) {
  const found = [];
  return {
    add: (file, line, what, mend) => found.push({ file, line, text: `${file}:${line}: ${what}; ${mend}` }),
    finish() {
      found.sort((left, right) => left.file.localeCompare(right.file) || left.line - right.line);
      for (const { text } of found) process.stdout.write(`${text}\n`);
      process.stdout.write(`${name}: ${found.length === 0 ? 'nothing to mend' : `${found.length} to mend`}\n`);
      process.exitCode = found.length === 0 ? 0 : 1;
    },
  };
}
