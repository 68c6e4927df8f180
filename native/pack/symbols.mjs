// Fails when a native part needs a newer glibc or libstdc++ than the Node it is packed with.
//
//   node symbols.mjs TRIPLET FILE...
//
// The compiler of the build machine binds to its own library versions without a word; the board then refuses
// the addon at the customer's. Limits: glibc 2.28 and what GCC 8 shipped.
import { execFileSync } from 'node:child_process';
import * as path from 'node:path';

const LIMITS = { GLIBC: '2.28', GLIBCXX: '3.4.25', CXXABI: '1.3.11' };

function newer(version, limit) {
  const left = version.split('.').map(Number);
  const right = limit.split('.').map(Number);
  for (let at = 0; at < Math.max(left.length, right.length); at += 1) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return false;
}

const [triplet, ...files] = process.argv.slice(2);
let bad = 0;
for (const file of files) {
  const dump = execFileSync(`${triplet}-objdump`, ['-T', file], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  for (const line of dump.split('\n')) {
    const found = /\*UND\*.*\(?\b(GLIBC|GLIBCXX|CXXABI)_([0-9.]+)\)?\s+(\S+)$/.exec(line);
    if (found === null || !newer(found[2], LIMITS[found[1]])) continue;
    bad += 1;
    process.stderr.write(
      `${path.basename(file)}: ${found[3]} needs ${found[1]} ${found[2]}, the limit is ${LIMITS[found[1]]}; ` +
        'pass it on to an older version in native/better-sqlite3/glibc-2.28.c\n',
    );
  }
}
process.exit(bad === 0 ? 0 : 1);
