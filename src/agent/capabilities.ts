// Names of Linux capabilities: those that the shim can keep for a module (native/weir-shim/capability.c has the same
// list, from linux/capability.h). A name is written with or without `CAP_`, in either case; inside it has both.

import { nearestName } from '../model/nearest.ts';
import type { FieldReader } from './field-reader.ts';

const prefix = 'CAP_';
export const capabilityNames: readonly string[] = [
  ...['CHOWN', 'DAC_OVERRIDE', 'DAC_READ_SEARCH', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID', 'SETPCAP'],
  ...['LINUX_IMMUTABLE', 'NET_BIND_SERVICE', 'NET_BROADCAST', 'NET_ADMIN', 'NET_RAW', 'IPC_LOCK', 'IPC_OWNER'],
  ...['SYS_MODULE', 'SYS_RAWIO', 'SYS_CHROOT', 'SYS_PTRACE', 'SYS_PACCT', 'SYS_ADMIN', 'SYS_BOOT', 'SYS_NICE'],
  ...['SYS_RESOURCE', 'SYS_TIME', 'SYS_TTY_CONFIG', 'MKNOD', 'LEASE', 'AUDIT_WRITE', 'AUDIT_CONTROL', 'SETFCAP'],
  ...['MAC_OVERRIDE', 'MAC_ADMIN', 'SYSLOG', 'WAKE_ALARM', 'BLOCK_SUSPEND', 'AUDIT_READ', 'PERFMON', 'BPF'],
  'CHECKPOINT_RESTORE',
].map((name) => `${prefix}${name}`);

/** `isolation.capabilities` in the kernel's names; one that is none is noted, with the name that was probably meant. */
export function readCapabilities(isolation: FieldReader): readonly string[] {
  return isolation.texts('capabilities').flatMap((written) => {
    const upper = written.trim().toUpperCase();
    const name = upper.startsWith(prefix) ? upper : `${prefix}${upper}`;
    if (capabilityNames.includes(name)) return [name];
    const nearest = nearestName(name, capabilityNames);
    const mend = nearest === undefined ? 'names are those of capabilities(7)' : `did you mean ${nearest}?`;
    return isolation.complain('capabilities', `${JSON.stringify(written)} is no capability; ${mend}`) ?? [];
  });
}
