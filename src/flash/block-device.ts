// The disk under a directory, and what it tells of its own wear.
//
//   directory ─► /proc/self/mountinfo ─► 179:2 ─► /sys/dev/block/179:2 ─(partition)─► .. ─► mmcblk0
//                                                  └─(slaves: one)─► the device below (LVM, dm-crypt, md)
//
// Changes nothing. Whatever the kernel does not tell, or not to this user, is undefined.

import type { Disk } from '../platform/disk.ts';
import { mountOf, type PreEol, parseDeviceName, parseLifeStep, parseMountinfo, parsePreEol } from './kernel-text.ts';

export interface WearRegisters {
  /** Tells this device from another one of the same name. */
  readonly identity: string;
  readonly kind: 'eMMC' | 'SD card' | undefined;
  /** Tenths of the life used, rounded up; 11: more than all of it. */
  readonly lifeStep: number | undefined;
  readonly preEol: PreEol | undefined;
}

type Reader = Pick<Disk, 'readTextIfPresent' | 'list' | 'realPath'>;

/** Layers of device mapper below a file system. */
const layersMax = 4;
const kinds: Readonly<Record<string, WearRegisters['kind']>> = { MMC: 'eMMC', SD: 'SD card' };

/** The name of the disk below /sys/class/block; undefined without one: tmpfs, overlay, several disks. */
export async function findBlockDevice(disk: Reader, directory: string): Promise<string | undefined> {
  const mountinfo = await kernelText(disk, '/proc/self/mountinfo');
  const path = await disk.realPath('flash:directory', directory).catch(() => directory);
  const mount = mountOf(parseMountinfo(mountinfo ?? ''), path);
  if (mount === undefined) return undefined;
  const named = /^\/dev\/([^/]+)$/.exec(mount.source)?.[1];
  const isOwn = !mount.device.startsWith('0:');
  if (!isOwn && named === undefined) return undefined;
  let place = isOwn ? `/sys/dev/block/${mount.device}` : blockPath(named ?? '');
  for (let layer = 0; layer < layersMax; layer++) {
    // The kernel resolves `..` behind the symbolic link: it is the disk that the partition is on.
    if ((await kernelText(disk, `${place}/partition`)) !== undefined) place = `${place}/..`;
    const slaves = await disk.list('flash:slaves', `${place}/slaves`).catch(() => []);
    if (slaves.length === 0) return parseDeviceName((await kernelText(disk, `${place}/uevent`)) ?? '');
    if (slaves.length > 1) return undefined;
    place = blockPath(slaves[0] ?? '');
  }
  return undefined;
}

export async function readRegisters(disk: Reader, device: string): Promise<WearRegisters> {
  const register = (name: string): Promise<string | undefined> =>
    kernelText(disk, `${blockPath(device)}/device/${name}`);
  const [type, cid, lifeTime, preEol] = await Promise.all(['type', 'cid', 'life_time', 'pre_eol_info'].map(register));
  return {
    identity: cid?.trim() ?? device,
    kind: kinds[type?.trim() ?? ''],
    lifeStep: parseLifeStep(lifeTime ?? ''),
    preEol: parsePreEol(preEol ?? ''),
  };
}

export function blockPath(device: string): string {
  return `/sys/class/block/${device}`;
}

/** Undefined for whatever reason it cannot be read. */
export function kernelText(disk: Pick<Disk, 'readTextIfPresent'>, path: string): Promise<string | undefined> {
  return disk.readTextIfPresent('flash:kernel', path).catch(() => undefined);
}
