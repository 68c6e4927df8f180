// Checks of the running gateway: the daemon, its store, its modules.

import { errorCode, errorMessage } from '../../model/errors.ts';
import { sizeText } from '../quantity-text.ts';
import { type Check, type CheckFacts, fail, ok, skip, type Verdict, warn } from './check.ts';

/** The first bytes of every SQLite 3 database (https://sqlite.org/fileformat2.html §1.3). */
const sqliteMagic = 'SQLite format 3\u0000';
const restartsMany = 5;

export const runtimeChecks: readonly Check[] = [
  {
    id: 'daemon-running',
    group: 'runtime',
    title: 'weir runs',
    run({ daemon, runDir }) {
      if ('status' in daemon) return ok(`version ${daemon.status.version}, on ${runDir}`);
      const code = errorCode(daemon.error);
      if (code === 'ADMIN_NOT_RUNNING')
        return warn(`nobody answers on ${runDir}`, 'systemctl start weir, or: weir run');
      if (code === 'ADMIN_FORBIDDEN') return warn(errorMessage(daemon.error), 'Run this check as root.');
      return fail(errorMessage(daemon.error), 'See the log: journalctl -u weir');
    },
  },
  {
    id: 'store-openable',
    group: 'runtime',
    title: 'the store is whole',
    run: checkStore,
  },
  {
    id: 'modules-healthy',
    group: 'runtime',
    title: 'modules run',
    run({ daemon }) {
      if (!('status' in daemon)) return skip('weir does not run');
      const { modules } = daemon.status;
      const down = modules.filter(
        ({ runtimeStatus }) =>
          runtimeStatus === 'failed' || runtimeStatus === 'backoff' || runtimeStatus === 'unhealthy',
      );
      if (down.length > 0) {
        const list = down.map(
          ({ name, runtimeStatus, statusDescription }) => `${name}: ${runtimeStatus}, ${statusDescription}`,
        );
        return fail(list.join('\n'), `weir logs ${down[0]?.name} --tail 50`);
      }
      const restless = modules.filter(({ restartCount }) => restartCount >= restartsMany);
      if (restless.length > 0)
        return warn(
          restless.map(({ name, restartCount }) => `${name} was restarted ${restartCount} times`).join('\n'),
          `weir logs ${restless[0]?.name} --tail 50`,
        );
      return modules.length === 0 ? ok('none deployed') : ok(modules.map(({ name }) => name).join(', '));
    },
  },
];

async function checkStore(facts: CheckFacts): Promise<Verdict> {
  if ('status' in facts.daemon) {
    const { fileBytes, quarantined } = facts.daemon.status.store;
    if (quarantined.length === 0) return ok(sizeText(fileBytes));
    return warn(
      `damaged files were put aside: ${quarantined.join(', ')}`,
      'Keep them for a diagnosis, then remove them. Is the flash card failing?',
    );
  }
  // The daemon owns the file. Opening it beside a starting one could disturb; its head tells what matters here.
  const path = `${facts.dataDir}/weir.db`;
  try {
    const found = await facts.disk.facts('check:store', path);
    if (found === undefined) return skip(`${path} does not exist yet`);
    const head = await facts.disk.readSlice('check:store', path, { offset: 0, bytesMax: sqliteMagic.length });
    if (found.bytes > 0 && head.toString('latin1') !== sqliteMagic)
      return fail(`${path} is not a database`, 'weir puts it aside at the next start and begins a new one.');
    return ok(`${path}, ${sizeText(found.bytes)}`);
  } catch (error) {
    return fail(
      `${path} cannot be read: ${errorMessage(error)}`,
      'Run as root or as the user of the unit; when root fails too, the disk is failing.',
    );
  }
}
