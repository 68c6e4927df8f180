// Checks of the machine: directories, space, clock, memory, kernel, the native parts, serial ports, the unit.

import { dirname } from 'node:path';
import { findBlockDevice, readRegisters } from '../../flash/index.ts';
import { errorMessage } from '../../model/errors.ts';
import type { NativeAddonName } from '../../platform/native.ts';
import { durationText, sizeText, yearsText } from '../quantity-text.ts';
import { type Check, type CheckFacts, fail, ok, skip, type Verdict, warn } from './check.ts';

/** Below it SQLite's write-ahead log and one log rotation no longer fit for sure. */
const freeBytesMin = 67_108_864;
const freeShareMin = 0.05;
const freeInodesMin = 1_000;
const memoryBytesMin = 67_108_864;
const kib = 1_024;
const lifeSteps = 10;
/** Percent of a step. */
const tenth = 10;
const ownerWriteSearch = 0o300;
const futureYears = 20;
/** Time to plan the exchange of a board. */
const flashYearsMin = 2;
const yearMs = 31_557_600_000;
const addons: readonly NativeAddonName[] = ['better_sqlite3', 'serialport', 'host'];
const unitDirectories = ['/etc/systemd/system', '/usr/lib/systemd/system', '/lib/systemd/system'];

export const machineChecks: readonly Check[] = [
  {
    id: 'data-dir-writable',
    group: 'machine',
    title: 'the data directory can be written and has room',
    async run(facts) {
      const { dataDir } = facts;
      const place = await writablePlace(facts, dataDir);
      if ('verdict' in place) return place.verdict;
      const space = await facts.machine.space(place.path);
      const free = `${sizeText(space.freeBytes)} free`;
      if (space.freeBytes < freeBytesMin)
        return fail(`only ${free} for ${dataDir}`, 'Make room, or move data_dir to a larger disk.');
      if (space.totalInodes > 0 && space.freeInodes < freeInodesMin)
        return fail(`only ${space.freeInodes} inodes free for ${dataDir}`, 'Remove small files from this file system.');
      if (space.freeBytes < space.totalBytes * freeShareMin)
        return warn(`only ${free} for ${dataDir}`, 'Make room: flash that is nearly full wears out sooner.');
      const quota = facts.reading.config?.store.quotaBytes ?? 0;
      if (space.freeBytes < quota && !('status' in facts.daemon))
        return warn(
          `${free} for ${dataDir}, less than store.quota (${sizeText(quota)})`,
          'Lower store.quota, or make room.',
        );
      return ok(`${dataDir}, ${free}`);
    },
  },
  {
    id: 'flash-wear',
    group: 'machine',
    title: 'the storage is not worn out',
    async run({ disk, dataDir, daemon, reading }) {
      const device = await findBlockDevice(disk, dataDir);
      if (device === undefined) return skip(`nobody tells which disk ${dataDir} is on`);
      const { lifeStep, preEol } = await readRegisters(disk, device);
      const replace = 'Copy the data directory and exchange the storage.';
      if (lifeStep !== undefined && lifeStep > lifeSteps)
        return fail(`${device} has used up its estimated life`, replace);
      if (preEol === 'urgent') return fail(`${device} has used nine tenths of its spare blocks`, replace);
      if (preEol === 'warning') return warn(`${device} has used four fifths of its spare blocks`, replace);
      const report = 'status' in daemon ? daemon.status.flash : undefined;
      const years = report?.lifeYears ?? undefined;
      const yearsMin = Math.max(flashYearsMin, reading.config?.store.flashLifeYears ?? 0);
      const pace = typeof report?.bytesPerDay === 'number' ? `, ${sizeText(report.bytesPerDay)} a day` : '';
      const used = lifeStep === undefined ? '' : `, life used ${(lifeStep - 1) * tenth}–${lifeStep * tenth} %`;
      if (years !== undefined && years < yearsMin)
        return warn(
          `${device} lasts ${yearsText(years)} at the present pace, less than ${yearsMin}${used}${pace}`,
          'Raise store.commit_delay, send less from modules, or plan to exchange the storage.',
        );
      if (lifeStep === undefined && years === undefined) return skip(`${device} does not tell of its wear${pace}`);
      return ok(`${device}${used}${pace}${years === undefined ? '' : `, ${yearsText(years)} left`}`);
    },
  },
  {
    id: 'run-dir',
    group: 'machine',
    title: 'the run directory can be written',
    async run(facts) {
      const place = await writablePlace(facts, facts.runDir);
      return 'verdict' in place ? place.verdict : ok(facts.runDir);
    },
  },
  {
    id: 'local-time',
    group: 'machine',
    title: 'the clock is plausible',
    async run({ clock, builtAtMs, disk }) {
      const nowMs = clock.wallMs();
      const shown = new Date(nowMs).toISOString();
      const mend =
        'Set the clock, or let a time service set it: timedatectl set-ntp true. Certificates and tokens need it.';
      if (nowMs < builtAtMs)
        return fail(`it is ${shown}, ${durationText(builtAtMs - nowMs)} before this program was built`, mend);
      if (nowMs > builtAtMs + futureYears * yearMs && builtAtMs > 0)
        return fail(`it is ${shown}, more than ${futureYears} years after this program was built`, mend);
      const isSynchronised = (await disk.facts('check:timesync', '/run/systemd/timesync/synchronized')) !== undefined;
      return ok(isSynchronised ? `${shown}, kept by a time service` : shown);
    },
  },
  {
    id: 'memory',
    group: 'machine',
    title: 'there is memory left',
    async run({ disk, daemon }) {
      const text = await disk.readTextIfPresent('check:meminfo', '/proc/meminfo');
      const available = /^MemAvailable:\s+(\d+) kB/m.exec(text ?? '')?.[1];
      if (available === undefined) return skip('the kernel does not tell');
      const bytes = Number(available) * kib;
      const own =
        'status' in daemon && daemon.status.memoryPssBytes !== null
          ? `, weir uses ${sizeText(daemon.status.memoryPssBytes)}`
          : '';
      if (bytes < memoryBytesMin)
        return warn(`only ${sizeText(bytes)} available${own}`, 'Stop what is not needed, or deploy fewer modules.');
      return ok(`${sizeText(bytes)} available${own}`);
    },
  },
  {
    id: 'native-addons',
    group: 'machine',
    title: 'the native parts can be loaded',
    async run({ native, disk }) {
      const broken = addons.flatMap((name) => attempt(name, () => native.load(name)));
      let shim = '';
      broken.push(
        ...attempt('weir-shim', () => {
          shim = native.shimPath();
        }),
      );
      if (shim !== '' && !(await disk.isExecutable('check:shim', shim))) broken.push(`${shim} cannot be executed`);
      if (broken.length === 0) return ok(`${addons.join(', ')}, weir-shim`);
      return fail(
        broken.join('\n'),
        'Is the executable whole, glibc 2.28 or newer, and the extraction directory not mounted noexec?',
      );
    },
  },
  {
    id: 'serial-ports',
    group: 'machine',
    title: 'serial ports can be opened',
    async run(facts) {
      const ports = await serialPorts(facts);
      if (ports.length === 0) return skip('this machine has none');
      const closed: string[] = [];
      for (const port of ports) {
        if (!(await facts.machine.mayAccess(port, 'read-write'))) closed.push(port);
      }
      if (closed.length > 0)
        return warn(`no permission for ${closed.join(', ')}`, 'Run as root, or: usermod -aG dialout USER');
      return ok(ports.join(', '));
    },
  },
  {
    id: 'systemd-unit-installed',
    group: 'machine',
    title: 'weir starts with the machine',
    async run({ disk }) {
      if ((await disk.facts('check:systemd', '/run/systemd/system')) === undefined)
        return skip('this machine does not run systemd');
      for (const directory of unitDirectories) {
        if ((await disk.facts('check:unit', `${directory}/weir.service`)) === undefined) continue;
        const enabled = await disk.list('check:wants', '/etc/systemd/system/multi-user.target.wants');
        if (enabled.includes('weir.service')) return ok(`${directory}/weir.service`);
        return warn(`${directory}/weir.service is not enabled`, 'systemctl enable --now weir');
      }
      return warn('there is no unit', 'weir config init, then: systemctl enable --now weir');
    },
  },
];

/** A directory may be missing as long as it can be made: the nearest one above that exists decides. */
async function writablePlace(
  { disk, machine }: CheckFacts,
  directory: string,
): Promise<{ readonly path: string } | { readonly verdict: Verdict }> {
  let path = directory;
  let facts = await disk.facts('check:directory', path);
  while (facts === undefined && dirname(path) !== path) {
    path = dirname(path);
    facts = await disk.facts('check:directory', path);
  }
  if (facts === undefined || !facts.isDirectory)
    return { verdict: fail(`${path} is not a directory`, 'Remove the file, or choose another directory.') };
  if (!(await machine.mayAccess(path, 'write')))
    return {
      verdict: fail(
        `${path} cannot be written by this user (uid ${machine.uid})`,
        'Run as root or as the user of the unit.',
      ),
    };
  if ((facts.mode & ownerWriteSearch) !== ownerWriteSearch)
    return { verdict: warn(`${path} has mode ${facts.mode.toString(8)}`, `chmod 750 ${path}`) };
  return { path };
}

/** `/dev/serial/by-id` names stay when adapters are plugged in another order; built-in ports have no such name. */
async function serialPorts({ disk }: CheckFacts): Promise<readonly string[]> {
  const byId = await disk.list('check:serial', '/dev/serial/by-id');
  const devices = await disk.list('check:serial', '/dev');
  const builtIn = devices.filter((name) => /^tty(AMA|SC|mxc|O|THS)\d+$/.test(name));
  const usb = devices.filter((name) => /^tty(USB|ACM)\d+$/.test(name));
  return [
    ...byId.map((name) => `/dev/serial/by-id/${name}`),
    ...(byId.length > 0 ? [] : usb.map((name) => `/dev/${name}`)),
    ...builtIn.map((name) => `/dev/${name}`),
  ];
}

function attempt(name: string, load: () => void): string[] {
  try {
    load();
    return [];
  } catch (error) {
    return [`${name}: ${errorMessage(error)}`];
  }
}
