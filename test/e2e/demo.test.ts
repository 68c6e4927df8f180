// `make demo` as a visitor without a terminal gets it: it ends by itself, proves its point, and leaves nothing.

import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import t from 'tap';
import { wholeTree } from '../support/removal.ts';
import { until } from '../support/world/program.ts';

const demoMs = 400_000;

/** Command lines of the processes of this machine that name `path`. */
function commandsNaming(path: string): readonly string[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return '';
      }
    })
    .filter((command) => command.includes(path));
}

t.test('the demo proves that nothing was lost, and cleans up', { timeout: demoMs + 10_000 }, async (t) => {
  // Short, because sockets are made below it.
  const temporary = mkdtempSync(join(tmpdir(), 'wd-'));
  t.teardown(() => rmSync(temporary, wholeTree));
  const program = join(temporary, 'demo.cjs');
  await build({
    entryPoints: ['test/demo/demo.ts'],
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20.11',
    logLevel: 'error',
  });
  const { stdout } = await promisify(execFile)(process.execPath, [program], {
    timeout: demoMs,
    env: { ...process.env, TMPDIR: temporary },
  });
  t.comment(stdout);
  t.match(stdout, /^PASS {2}The hub has all \d+ messages exactly once and in order\. \(\d+ s\)$/m);
  t.match(stdout, /^1\/8 .*\n[\s\S]*^8\/8 /m, 'every chapter was told');
  t.equal(stdout.includes('\u001b'), false, 'no cursor movements and no colours');
  t.same(
    stdout.split('\n').filter((line) => line.length > 80 && !line.includes(temporary)),
    [],
    'nothing is wider than 80 columns',
  );
  t.same(readdirSync(temporary), ['demo.cjs'], 'nothing is left on the disk');
  await until('no process is left', demoMs, () => commandsNaming(temporary).length === 0 || undefined);
});
