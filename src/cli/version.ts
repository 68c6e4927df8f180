// `weir version` and `weir licenses`: what this executable is and what is inside it.

import type { CommandModule } from 'yargs';
import type { CliContext, GlobalOptions } from './context.ts';
import { writeJson } from './context.ts';

export interface VersionOptions extends GlobalOptions {
  readonly json: boolean;
}

/** Parts whose versions matter to whoever judges a vulnerability report, by their names in process.versions. */
const nodeParts = ['openssl', 'v8', 'uv', 'zlib', 'llhttp'] as const;

export function versionCommand(context: CliContext): CommandModule<GlobalOptions, VersionOptions> {
  return {
    command: 'version',
    describe: 'version, commit and the versions of what is inside',
    builder: (yargs) =>
      yargs
        .option('json', { type: 'boolean', default: false, describe: 'for programs' })
        .example('weir version --json', 'with commit, target, Node, SQLite and OpenSSL'),
    handler: async (options) => {
      if (options.json) return writeJson(context, await versionReport());
      const { buildInfo } = await import('../platform/native.ts');
      const { version, commit, target } = buildInfo();
      await context.terminal.write(`weir ${version} (${commit}, ${target})\n`);
    },
  };
}

export function licensesCommand(context: CliContext): CommandModule<GlobalOptions, GlobalOptions> {
  return {
    command: ['licenses', 'licences'],
    describe: 'the licences of everything inside this executable',
    builder: (yargs) => yargs.example('weir licenses | less', 'all notices'),
    handler: async () => {
      const { licenceNotices } = await import('../platform/native.ts');
      await context.terminal.write(licenceNotices());
    },
  };
}

async function versionReport(): Promise<Readonly<Record<string, string | null>>> {
  const { buildInfo } = await import('../platform/native.ts');
  const { version, commit, target, builtAt } = buildInfo();
  return {
    version,
    commit,
    target,
    builtAt,
    node: process.versions.node,
    sqlite: await sqliteVersion(),
    ...Object.fromEntries(nodeParts.map((part) => [part, process.versions[part] ?? null])),
  };
}

/** Null when the addon cannot be loaded: the other versions are wanted all the more then. */
async function sqliteVersion(): Promise<string | null> {
  try {
    const { systemSqlite } = await import('../platform/sqlite.ts');
    const database = systemSqlite().open(':memory:');
    try {
      return database.version;
    } finally {
      database.close();
    }
  } catch {
    return null;
  }
}
