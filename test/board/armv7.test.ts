// The armv7 executable under qemu-user.

import { resolve } from 'node:path';
import { testBoard } from './board.ts';

testBoard({
  target: 'linux-armv7',
  binary: resolve(process.env['WEIR_BIN_ARMV7'] ?? 'out/weir-linux-armv7'),
  sysroot: '/usr/arm-linux-gnueabihf',
  emulator: 'qemu-arm-static',
  binfmt: '/proc/sys/fs/binfmt_misc/qemu-arm',
  architecture: /^armv/,
});
