// The arm64 executable under qemu-user.

import { resolve } from 'node:path';
import { testBoard } from './board.ts';

testBoard({
  target: 'linux-arm64',
  binary: resolve(process.env['WEIR_BIN_ARM64'] ?? 'out/weir-linux-arm64'),
  sysroot: '/usr/aarch64-linux-gnu',
  emulator: 'qemu-aarch64-static',
  binfmt: '/proc/sys/fs/binfmt_misc/qemu-aarch64',
  architecture: 'aarch64',
});
