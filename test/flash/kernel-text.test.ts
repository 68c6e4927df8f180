// Texts as kernels print them: a Raspberry Pi CM4 with eMMC, an industrial board with LVM, a container, a btrfs root.

import t from 'tap';
import {
  mountOf,
  parseDeviceBytes,
  parseDeviceName,
  parseLifeStep,
  parseMountinfo,
  parsePreEol,
  parseWrittenBytes,
} from '../../src/flash/kernel-text.ts';

const board = `21 28 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
28 1 179:2 / / rw,noatime shared:1 - ext4 /dev/root rw
37 28 179:1 / /boot/firmware rw,relatime shared:20 - vfat /dev/mmcblk0p1 rw,fmask=0022
60 28 179:3 / /var/lib rw,noatime shared:31 master:2 - ext4 /dev/mmcblk0p3 rw,commit=60
61 28 0:44 / /run/user/1000 rw,nosuid shared:40 - tmpfs tmpfs rw,size=390144k
62 28 8:17 / /media/usb\\040stick rw - vfat /dev/sdb1 rw
63 60 253:0 / /var/lib rw,relatime - ext4 /dev/mapper/vg-data rw
`;

t.test('the mount of a directory is the longest above it, and of several on one place the last', (t) => {
  const mounts = parseMountinfo(board);
  const device = (path: string): string | undefined => mountOf(mounts, path)?.device;
  t.equal(mounts.length, 7);
  t.equal(device('/home/weir'), '179:2');
  t.equal(device('/var/lib/weir'), '253:0');
  t.equal(device('/var/library'), '179:2', 'a name that begins alike is another one');
  t.equal(device('/media/usb stick/x'), '8:17');
  t.equal(device('/boot/firmware'), '179:1');
  t.equal(mountOf(parseMountinfo('nonsense\n28 1 179:2'), '/'), undefined);
  t.end();
});

t.test('bytes written come from the process and from the device', (t) => {
  const io = 'rchar: 323934931\nwchar: 323929600\nsyscr: 632687\nsyscw: 632675\nread_bytes: 0\n';
  t.equal(parseWrittenBytes(`${io}write_bytes: 323932160\ncancelled_write_bytes: 8192\n`), 323_923_968);
  t.equal(parseWrittenBytes(io), undefined);
  t.equal(parseWrittenBytes('write_bytes: 1\ncancelled_write_bytes: 2\n'), 0);
  const stat =
    '   16423     9541  1285830     8911    48211    60013  2342848    73213        0    43088    82125        0\n';
  t.equal(parseDeviceBytes(stat), 2_342_848 * 512);
  t.equal(parseDeviceBytes(''), undefined);
  t.equal(parseDeviceBytes('1 2 3 4 5 6 -7'), undefined);
  t.end();
});

t.test('registers of an eMMC are read, and those that say nothing are unknown', (t) => {
  t.equal(parseLifeStep('0x01 0x02\n'), 2);
  t.equal(parseLifeStep('0x00 0x01\n'), 1, 'an area without an estimate does not count');
  t.equal(parseLifeStep('0x0b 0x0A\n'), 11);
  for (const nothing of ['0x00 0x00\n', '', '0xff 0xff\n', 'n/a', '1 2']) t.equal(parseLifeStep(nothing), undefined);
  t.same(['0x01\n', '0x02\n', '0x03\n', '0x00\n', '', '0x17'].map(parsePreEol), [
    'normal',
    'warning',
    'urgent',
    undefined,
    undefined,
    undefined,
  ]);
  t.end();
});

t.test('a uevent names the device', (t) => {
  t.equal(parseDeviceName('MAJOR=179\nMINOR=0\nDEVNAME=mmcblk0\nDEVTYPE=disk\nDISKSEQ=9\n'), 'mmcblk0');
  t.equal(parseDeviceName('DEVNAME=cciss/c0d0\n'), 'cciss!c0d0');
  t.equal(parseDeviceName('MAJOR=179\n'), undefined);
  t.end();
});
