// Texts in which the kernel tells of storage: text in, facts out. Undefined is "it does not tell", never zero.
//
//   /proc/self/mountinfo     36 35 179:2 / /mnt rw,noatime master:1 - ext4 /dev/mmcblk0p2 rw      (proc(5))
//   /proc/self/io            write_bytes: 4096 / cancelled_write_bytes: 0    of the whole process, all threads
//   …/block/<disk>/stat      seventh number: sectors written, of 512 bytes whatever the device's are
//   …/device/life_time       0x02 0x01    area of type A (SLC-like) and of type B, in tenths of the life used
//   …/device/pre_eol_info    0x01         spare blocks: 1 normal, 2 four fifths used, 3 nine tenths used
//
// The registers are JESD84-B51 (eMMC 5.1), EXT_CSD [268], [269] and [267]; 0 stands for "not defined". Linux has them
// since 4.10 and reads them when it finds the device: a change shows after the next boot.

export interface Mount {
  /** `major:minor`; the major number of a file system without a block device of its own is 0 (btrfs, tmpfs, overlay). */
  readonly device: string;
  readonly mountPoint: string;
  readonly source: string;
}

export type PreEol = 'normal' | 'warning' | 'urgent';

/** More than the whole life that the device was estimated for. */
export const lifeStepMax = 11;

const sectorBytes = 512;
const sectorsWrittenField = 6;
const fieldsBeforeOptional = 6;
const octal = 8;
const preEols: Readonly<Record<number, PreEol>> = { 1: 'normal', 2: 'warning', 3: 'urgent' };

export function parseMountinfo(text: string): readonly Mount[] {
  return text.split('\n').flatMap((line) => {
    const fields = line.split(' ');
    // Optional fields are any number, up to a lone hyphen.
    const hyphen = fields.indexOf('-', fieldsBeforeOptional);
    const [, , device, , mountPoint] = fields;
    const source = fields[hyphen + 2];
    if (hyphen < 0 || device === undefined || mountPoint === undefined || source === undefined) return [];
    return { device, mountPoint: unescaped(mountPoint), source: unescaped(source) };
  });
}

/** The mount that an absolute path without symbolic links is on. Of several on one place the last covers the others. */
export function mountOf(mounts: readonly Mount[], path: string): Mount | undefined {
  let found: Mount | undefined;
  for (const mount of mounts) {
    const { mountPoint } = mount;
    const isAbove = mountPoint === '/' || path === mountPoint || path.startsWith(`${mountPoint}/`);
    if (isAbove && mountPoint.length >= (found?.mountPoint.length ?? 0)) found = mount;
  }
  return found;
}

/** Bytes that the process caused to be written to storage, less those that were taken back before they were. */
export function parseWrittenBytes(io: string): number | undefined {
  const written = /^write_bytes: (\d{1,15})$/m.exec(io)?.[1];
  const cancelled = /^cancelled_write_bytes: (\d{1,15})$/m.exec(io)?.[1];
  return written === undefined ? undefined : Math.max(0, Number(written) - Number(cancelled ?? 0));
}

/** Bytes written to a block device since it appeared, by everybody. */
export function parseDeviceBytes(stat: string): number | undefined {
  const sectors = stat.trim().split(/\s+/)[sectorsWrittenField];
  return sectors !== undefined && /^\d{1,13}$/.test(sectors) ? Number(sectors) * sectorBytes : undefined;
}

/** 1 (up to a tenth of the life is used) to 10, or lifeStepMax; of two areas the more worn one. */
export function parseLifeStep(lifeTime: string): number | undefined {
  const steps = lifeTime
    .trim()
    .split(/\s+/)
    .map((text) => (/^0x[0-9a-f]{1,2}$/i.test(text) ? Number(text) : 0))
    .filter((step) => step >= 1 && step <= lifeStepMax);
  return steps.length === 0 ? undefined : Math.max(...steps);
}

export function parsePreEol(text: string): PreEol | undefined {
  const trimmed = text.trim();
  return /^0x[0-9a-f]{1,2}$/i.test(trimmed) ? preEols[Number(trimmed)] : undefined;
}

/** The name below /sys/class/block of what a uevent file describes. */
export function parseDeviceName(uevent: string): string | undefined {
  return /^DEVNAME=(.+)$/m.exec(uevent)?.[1]?.replaceAll('/', '!');
}

/** Blanks and the like stand as `\040` in mountinfo. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, octal)));
}
