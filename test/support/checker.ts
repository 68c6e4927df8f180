// Runs a checker of native/check on many small trees in one process: it takes longer to load than to judge.

import { execFile } from 'node:child_process';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Verdict {
  readonly code: number;
  readonly lines: readonly string[];
}

/** A checker judges while it is imported; with another query it is imported anew. */
const program = `
const [url, ...roots] = process.argv.slice(1);
const write = process.stdout.write.bind(process.stdout);
const verdicts = [];
for (const [at, root] of roots.entries()) {
  let text = '';
  process.stdout.write = (part) => { text += part; return true; };
  process.argv[2] = root;
  process.exitCode = 0;
  await import(url + '?' + at);
  verdicts.push({ code: process.exitCode, lines: text.trim().split('\\n') });
}
process.exitCode = 0;
process.stdout.write = write;
write(JSON.stringify(verdicts));
`;

/** What the checker says of each tree, by its name below `directory`. */
export async function verdictsOf(
  checker: 'tidy' | 'imports',
  directory: string,
  names: readonly string[],
): Promise<ReadonlyMap<string, Verdict>> {
  const url = pathToFileURL(resolve('native/check', `${checker}.mjs`)).href;
  const roots = names.map((name) => join(directory, name));
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', program, url, ...roots]);
  const verdicts = JSON.parse(stdout) as readonly Verdict[];
  return new Map(names.map((name, at) => [name, verdicts[at] as Verdict]));
}
