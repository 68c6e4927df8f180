// The notices of everything that ends up inside the executable, as one text.
//
// What is inside is not guessed: the list of npm packages comes from the bundler's own account of its inputs,
// and a package without a licence file or a licence field stops the build.
import * as fs from 'node:fs';
import * as path from 'node:path';

const RULE = '='.repeat(78);
const LICENCE_FILE = /^(licen[cs]e|copying|notice)([.-].*)?$/i;

/** Folders of the npm packages that gave at least one file to a bundle. */
function packageDirs(root, metafiles) {
  const dirs = new Set(['node_modules/better-sqlite3', 'node_modules/@serialport/bindings-cpp']);
  for (const { inputs } of metafiles)
    for (const input of Object.keys(inputs)) {
      const found = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input);
      if (found) dirs.add(found[1]);
    }
  return [...dirs].sort().map((dir) => path.join(root, dir));
}

function packageNotice(dir) {
  const manifest = JSON.parse(fs.readFileSync(path.join(dir, 'package.json'), 'utf8'));
  const files = fs
    .readdirSync(dir)
    .filter((file) => LICENCE_FILE.test(file) && fs.statSync(path.join(dir, file)).isFile());
  if (files.length === 0 && manifest.license === undefined) throw new TypeError(`${dir} states no licence`);
  const texts = files.map((file) => fs.readFileSync(path.join(dir, file), 'utf8').trim());
  const author = typeof manifest.author === 'string' ? manifest.author : (manifest.author?.name ?? '');
  if (texts.length === 0) texts.push(`Licence: ${manifest.license}. ${author}`.trim());
  return `${manifest.name} ${manifest.version} (${manifest.license ?? 'see below'})\n\n${texts.join('\n\n')}`;
}

const SQLITE = `SQLite (public domain)

The author disclaims copyright to this source code. In place of a legal notice, here is a blessing:
    May you do good and not evil.
    May you find forgiveness for yourself and forgive others.
    May you share freely, never taking more than you give.`;

const GLIBC = `GNU C Library (LGPL-2.1-or-later), linked statically into weir-shim

weir-shim's source is part of weir's source tree (native/weir-shim) under the Apache License 2.0; with it and
with the library's source, which your distribution carries as "glibc", the program can be linked again with a
changed library. The licence's text follows.`;

function lesserLicence() {
  const file = '/usr/share/common-licenses/LGPL-2.1';
  return fs.existsSync(file)
    ? fs.readFileSync(file, 'utf8').trim()
    : 'https://www.gnu.org/licenses/old-licenses/lgpl-2.1.txt';
}

/** @param {{root: string, metafiles: object[], nodeLicence: string | undefined}} given */
export function licenceText({ root, metafiles, nodeLicence }) {
  const parts = [
    `weir (Apache-2.0)\n\n${fs.readFileSync(path.join(root, 'LICENSE'), 'utf8').trim()}`,
    ...packageDirs(root, metafiles).map(packageNotice),
    SQLITE,
    `${GLIBC}\n\n${lesserLicence()}`,
  ];
  if (nodeLicence !== undefined) parts.push(`Node.js and the libraries inside it\n\n${nodeLicence.trim()}`);
  return `${parts.join(`\n\n${RULE}\n\n`)}\n`;
}
