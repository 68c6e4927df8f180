// Exits with 0 when node_modules holds what package-lock.json asks for and the SQLite addon loads here.
import * as fs from 'node:fs';
import { createRequire } from 'node:module';

function packages(file) {
  return fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')).packages : {};
}

const wanted = packages('package-lock.json');
const found = packages('node_modules/.package-lock.json');
for (const [place, { version, optional }] of Object.entries(wanted)) {
  if (place === '' || optional) continue;
  if (found[place]?.version !== version || !fs.existsSync(place)) process.exit(1);
}
try {
  const Database = createRequire(import.meta.url)('better-sqlite3');
  new Database(':memory:').close();
} catch {
  process.exit(1);
}
