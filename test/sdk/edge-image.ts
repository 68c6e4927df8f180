// An image with Node, Microsoft's client and programs/edge-module.mjs: made of this machine's own Node, the libraries it
// is linked with, and the packages of this tree, because there is no outside registry. The client is the published one.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Podman } from '../support/podman.ts';

const packages = ['azure-iot-device', 'azure-iot-device-mqtt'];
const program = './test/sdk/programs/edge-module.mjs';
/** What no program reads. */
const superfluous = ['*.map', '*.ts', '*.md', 'test', 'tests', 'docs', 'bench'];

/** Makes the image under this name; its program is the module's. */
export function makeEdgeImage(podman: Podman, name: string): void {
  const archive = join(podman.directory, 'edge-image.tar');
  const below = process.execPath.slice(1);
  execFileSync('tar', [
    '--dereference',
    '-cf',
    archive,
    ...[`s,^${program}$,app/module.mjs,`, 's,^./node_modules,app/node_modules,', `s,^${below}$,usr/bin/node,`].flatMap(
      (rule) => ['--transform', rule],
    ),
    ...['-C', '/', below, ...librariesOf(process.execPath).map((library) => library.slice(1))],
    ...['-C', process.cwd(), program, ...superfluous.map((pattern) => `--exclude=${pattern}`), ...closure(packages)],
  ]);
  podman.run('import', '--change', 'CMD ["/usr/bin/node", "/app/module.mjs"]', archive, name);
  rmSync(archive);
}

/** The program's loader among them: all paths that ldd shows. */
function librariesOf(file: string): readonly string[] {
  const text = execFileSync('ldd', [file], { encoding: 'utf8' });
  return [...text.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1] ?? '');
}

/** The packages and all that they need, as Node finds them: directories of this tree; one inside another comes with it. */
function closure(names: readonly string[]): readonly string[] {
  const found = new Set<string>();
  const add = (from: string, name: string): void => {
    const directory = packageDirectory(from, name);
    if (directory === undefined || found.has(directory)) return;
    found.add(directory);
    const manifest = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as {
      readonly dependencies?: object;
    };
    for (const needed of Object.keys(manifest.dependencies ?? {})) add(directory, needed);
  };
  for (const name of names) add('.', name);
  return [...found].filter((path) => path.lastIndexOf('node_modules/') === 0).map((path) => `./${path}`);
}

function packageDirectory(from: string, name: string): string | undefined {
  for (let directory = from; ; directory = dirname(directory)) {
    const candidate = join(directory, 'node_modules', name);
    if (existsSync(candidate)) return candidate;
    if (directory === '.') return undefined;
  }
}
