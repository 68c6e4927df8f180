// The account against the texts of a board with eMMC, with a store in memory: what it tells, notes and asks for.

import t from 'tap';
import { findBlockDevice } from '../../src/flash/block-device.ts';
import { FlashWear, type FlashWearOptions } from '../../src/flash/flash-wear.ts';
import { type Disk, systemDisk } from '../../src/platform/disk.ts';
import { createLog } from '../../src/platform/log.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { SimClock } from '../support/sim-clock.ts';

const minuteMs = 60_000;
const hourMs = 3_600_000;

interface Kernel {
  files: Record<string, string>;
  lists: Record<string, readonly string[]>;
}

function emmc(): Kernel {
  return {
    files: {
      '/proc/self/mountinfo': '28 1 179:2 / / rw,noatime shared:1 - ext4 /dev/root rw\n',
      '/proc/self/io': 'write_bytes: 0\ncancelled_write_bytes: 0\n',
      '/sys/dev/block/179:2/partition': '2\n',
      '/sys/dev/block/179:2/../uevent': 'MAJOR=179\nMINOR=0\nDEVNAME=mmcblk0\nDEVTYPE=disk\n',
      '/sys/class/block/mmcblk0/stat': ' 1 1 1 1 1 1 1000 1 0 1 1\n',
      '/sys/class/block/mmcblk0/device/type': 'MMC\n',
      '/sys/class/block/mmcblk0/device/cid': '150100424a54443452079f3b5c7d4a00\n',
      '/sys/class/block/mmcblk0/device/life_time': '0x01 0x02\n',
      '/sys/class/block/mmcblk0/device/pre_eol_info': '0x01\n',
    },
    lists: {},
  };
}

function diskOf(kernel: Kernel): Disk {
  return {
    ...systemDisk(),
    readTextIfPresent: (_operation, path) => Promise.resolve(kernel.files[path]),
    list: (_operation, path) => Promise.resolve(kernel.lists[path] ?? []),
    realPath: (_operation, path) => Promise.resolve(path),
  };
}

function world(kernel: Kernel, documents = new Map<string, string>(), over: Partial<FlashWearOptions> = {}) {
  const clock = new SimClock();
  const metrics = createMetrics();
  const lines: string[] = [];
  const delays: (number | undefined)[] = [];
  let saves = 0;
  const store = {
    acceptedBytes: 0,
    state: (key: string) => Promise.resolve(documents.get(key)),
    saveState: (key: string, value: string) => {
      saves++;
      documents.set(key, value);
      return Promise.resolve();
    },
    lengthenCommits: (delayMs: number | undefined) => {
      delays.push(delayMs);
    },
  };
  const wear = new FlashWear(
    {
      disk: diskOf(kernel),
      clock,
      metrics,
      store,
      log: createLog({ clock, level: 'debug', write: (l) => lines.push(l) }),
    },
    { directory: '/var/lib/weir', enduranceBytes: undefined, lifeYears: 5, commitDelayMs: 200, ...over },
  );
  let written = 0;
  let sectors = 1_000;
  /** So long, with so many bytes a minute by weir and as many again by others. */
  const run = async (ms: number, bytesPerMinute: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += minuteMs) {
      written += bytesPerMinute;
      sectors += (2 * bytesPerMinute) / 512;
      store.acceptedBytes += bytesPerMinute / 4;
      kernel.files['/proc/self/io'] = `write_bytes: ${written}\ncancelled_write_bytes: 0\n`;
      kernel.files['/sys/class/block/mmcblk0/stat'] = ` 1 1 1 1 1 1 ${sectors} 1 0 1 1\n`;
      await clock.advance(minuteMs);
      for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const value = (name: string): number | undefined => metrics.snapshot().find((sample) => sample.name === name)?.value;
  return { wear, clock, run, value, lines, delays, documents, saves: () => saves };
}

t.test('the disk is found below partitions and one device mapper, and is unknown below several', async (t) => {
  const find = (kernel: Kernel): Promise<string | undefined> => findBlockDevice(diskOf(kernel), '/var/lib/weir');
  t.equal(await find(emmc()), 'mmcblk0');
  const lvm = {
    files: {
      '/proc/self/mountinfo': '28 1 253:0 / / rw - ext4 /dev/mapper/vg-root rw\n',
      '/sys/class/block/sda2/partition': '2\n',
      '/sys/class/block/sda2/../uevent': 'DEVNAME=sda\n',
    },
    lists: { '/sys/dev/block/253:0/slaves': ['sda2'] },
  };
  t.equal(await find(lvm), 'sda');
  t.equal(await find({ ...lvm, lists: { '/sys/dev/block/253:0/slaves': ['sda2', 'sdb2'] } }), undefined);
  const btrfs = {
    files: {
      '/proc/self/mountinfo': '28 1 0:25 /@ / rw - btrfs /dev/nvme0n1p2 rw\n',
      '/sys/class/block/nvme0n1p2/partition': '2\n',
      '/sys/class/block/nvme0n1p2/../uevent': 'DEVNAME=nvme0n1\n',
    },
    lists: {},
  };
  t.equal(await find(btrfs), 'nvme0n1');
  const overlay = { files: { '/proc/self/mountinfo': '28 1 0:25 / / rw - overlay overlay rw\n' }, lists: {} };
  t.equal(await find(overlay), undefined);
  t.equal(await find({ files: {}, lists: {} }), undefined);
});

t.test('what is written is told by day, in figures and by the register', async (t) => {
  const { wear, run, value } = world(emmc());
  await wear.start();
  t.match(wear.facts(), { device: 'mmcblk0', kind: 'eMMC', bytesPerDay: null, lifeUsed: { from: 10, to: 20 } });
  t.equal(value('weir_flash_bytes_per_day'), undefined, 'absent while unknown');
  await run(2 * hourMs, 512_000);
  t.match(wear.facts(), {
    writtenBytes: 120 * 512_000,
    bytesPerDay: 1440 * 512_000,
    deviceBytesPerDay: 2 * 1440 * 512_000,
    amplification: 4,
    preEol: 'normal',
    lifeYears: null,
    lifeBasis: null,
    sparingDelayMs: null,
  });
  t.equal(value('weir_flash_bytes_per_day'), 1440 * 512_000);
  t.equal(value('weir_flash_written_bytes_total'), 120 * 512_000);
  t.equal(value('weir_flash_life_used_percent'), 20);
  await wear.close();
});

t.test('no more counts as written than the device got, also what it got a look later', async (t) => {
  const kernel = emmc();
  const { wear, clock, value } = world(kernel);
  await wear.start();
  const pass = async (written: number, sectors: number): Promise<number> => {
    kernel.files['/proc/self/io'] = `write_bytes: ${written}\ncancelled_write_bytes: 0\n`;
    kernel.files['/sys/class/block/mmcblk0/stat'] = ` 1 1 1 1 1 1 ${sectors} 1 0 1 1\n`;
    await clock.advance(minuteMs);
    for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
    return wear.facts().writtenBytes ?? -1;
  };
  t.equal(await pass(1_048_576, 1_008), 8 * 512, 'counted in pieces of 256 KiB');
  t.equal(await pass(1_048_576, 1_018), 18 * 512, 'what was on its way arrives');
  t.equal(await pass(1_048_576, 5_000_000), 18 * 512, 'later than a minute it is of others');
  t.equal(await pass(1_052_672, 6_000_000), 18 * 512 + 4_096);
  t.equal(value('weir_flash_written_bytes_total'), 18 * 512 + 4_096);
  await wear.close();
});

t.test('the account is noted once an hour, not when nothing was written, and goes on after a restart', async (t) => {
  const kernel = emmc();
  const first = world(kernel);
  await first.wear.start();
  await first.run(4 * hourMs, 512_000);
  t.equal(first.saves(), 4);
  await first.run(3 * hourMs, 0);
  t.equal(first.saves(), 4);
  await first.wear.close();
  await first.wear.close();
  t.equal(first.saves(), 4, 'nothing new');
  kernel.files['/proc/self/io'] = 'write_bytes: 0\ncancelled_write_bytes: 0\n';
  const second = world(kernel, first.documents);
  await second.wear.start();
  t.equal(second.wear.facts().writtenBytes, 240 * 512_000);
  t.not(second.wear.facts().bytesPerDay, null, 'known at once');
  await second.wear.close();
});

t.test(
  'two rises of the register tell how long it lasts, and too short a life lengthens commits, told once',
  async (t) => {
    const kernel = emmc();
    const { wear, run, delays, lines } = world(kernel);
    await wear.start();
    const lifeTime = '/sys/class/block/mmcblk0/device/life_time';
    await run(2 * hourMs, 512);
    kernel.files[lifeTime] = '0x01 0x03\n';
    await run(24 * hourMs, 512);
    t.equal(wear.facts().lifeYears, null);
    kernel.files[lifeTime] = '0x01 0x04\n';
    await run(2 * hourMs, 512);
    const { lifeYears, lifeBasis, sparingDelayMs } = wear.facts();
    t.equal(lifeBasis, 'registers');
    t.ok(lifeYears !== null && lifeYears < 0.02, 'a tenth a day');
    t.equal(sparingDelayMs, 2_000);
    t.same(delays, [2_000]);
    t.equal(lines.filter((line) => line.includes('would wear out too early')).length, 1);
    await wear.close();
  },
);

t.test('an endurance tells how long it lasts, and sparing ends when less is written', async (t) => {
  const { wear, run, delays, lines } = world(emmc(), undefined, { enduranceBytes: 1e12, lifeYears: 1 });
  await wear.start();
  await run(2 * hourMs, 1_024_000);
  t.equal(wear.facts().lifeBasis, 'endurance');
  t.ok((delays.at(-1) ?? 0) > 200);
  await run(30 * hourMs, 1_024);
  t.equal(delays.at(-1), undefined);
  t.equal(lines.filter((line) => line.includes('will last long enough')).length, 1);
  t.equal(wear.facts().sparingDelayMs, null);
  await wear.close();
});

t.test('where the kernel tells nothing all is unknown and nothing fails', async (t) => {
  const { wear, value } = world({ files: {}, lists: {} });
  await wear.start();
  t.match(wear.facts(), { device: null, kind: null, lifeUsed: null, preEol: null, lifeYears: null, bytesPerDay: null });
  t.equal(wear.facts().writtenBytes, null, 'unknown is not zero');
  t.equal(value('weir_flash_written_bytes_total'), undefined);
  await wear.close();
});
