// Who vouches for the machine's clock: the kernel's NTP state, and whether its clock came from one with a battery.
//
// The kernel is asked by the host addon (adjtimex(2), which needs no privilege for reading); any NTP client keeps
// that state: systemd-timesyncd, chrony, ntpd. Without the addon the mark of systemd-timesyncd is looked at, and
// without that nobody tells.

import { existsSync, readFileSync } from 'node:fs';
import { nativeAddon } from './native.ts';
import type { WallWitnesses } from './wall-keeper.ts';

interface ClockAddon {
  clockSynchronised?(): boolean | undefined;
}

const timesyncMark = '/run/systemd/timesync/synchronized';
const batteryMark = '/sys/class/rtc/rtc0/hctosys';

export function systemWitnesses(): WallWitnesses {
  let addon: ClockAddon | undefined;
  try {
    addon = nativeAddon('host') as ClockAddon;
  } catch {
    addon = undefined;
  }
  return {
    synchronised: () => addon?.clockSynchronised?.() ?? (existsSync(timesyncMark) ? true : undefined),
    battery() {
      try {
        return readFileSync(batteryMark, 'utf8').trim() === '1';
      } catch {
        return false;
      }
    },
  };
}
