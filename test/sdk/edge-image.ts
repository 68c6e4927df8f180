// An image with Node, Microsoft's client and programs/edge-module.mjs: made of this machine's own Node, the libraries it
// is linked with, and the packages of this tree, because there is no outside registry. The client is the published one.

import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Podman } from '../support/podman.ts';

const packages = ['azure-iot-device', 'azure-iot-device-mqtt'];
const program = join(process.cwd(), 'test/sdk/programs/edge-module.mjs');

/** Makes the image under this name; its program is the module's. */
export function makeEdgeImage(podman: Podman, name: string): void {
  const root = mkdtempSync(join(podman.directory, 'edge-image-'));
  const put = (source: string, target: string): void => {
    mkdirSync(dirname(join(root, target)), { recursive: true });
    cpSync(source, join(root, target), { recursive: true, dereference: true });
  };
  put(process.execPath, '/usr/bin/node');
  for (const library of librariesOf(process.execPath)) put(library, library);
  put('/bin/busybox', '/bin/sh');
  put(program, '/app/module.mjs');
  for (const directory of closure(packages)) {
    const target = join('/app', directory.slice(process.cwd().length));
    mkdirSync(dirname(join(root, target)), { recursive: true });
    // Packages inside it are entries of their own, when they are needed.
    cpSync(directory, join(root, target), {
      recursive: true,
      filter: (path) => path === directory || !path.slice(directory.length).startsWith('/node_modules'),
    });
  }
  mkdirSync(join(root, 'tmp'));
  const archive = join(podman.directory, 'edge-image.tar');
  execFileSync('tar', ['-C', root, '-cf', archive, '.']);
  const changes = ['WORKDIR /app', 'CMD ["/usr/bin/node", "/app/module.mjs"]'];
  podman.run('import', ...changes.flatMap((change) => ['--change', change]), archive, name);
  rmSync(root, { recursive: true });
  rmSync(archive);
}

/** The program's loader among them: all paths that ldd shows. */
function librariesOf(file: string): readonly string[] {
  const text = execFileSync('ldd', [file], { encoding: 'utf8' });
  return [...text.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1] ?? '');
}

/** Directories of the packages and of all that they need, as Node finds them. */
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
  for (const name of names) add(process.cwd(), name);
  return [...found];
}

function packageDirectory(from: string, name: string): string | undefined {
  for (let directory = from; ; directory = dirname(directory)) {
    const candidate = join(directory, 'node_modules', name);
    if (existsSync(candidate)) return candidate;
    if (directory === process.cwd()) return undefined;
  }
}
