// The command line of a module's shim: how what a spec asks for is said in the shim's own options
// (native/weir-shim/README.md). Pure; the only place that knows the options.
//
// What the kernel cannot do the shim leaves out and lists in state.json as `lacking`: nothing is asked of the
// machine here.

import { modulePidsDefault } from '../limits.ts';
import type { ModulePaths } from './module-paths.ts';
import type { Isolation, LaunchSpec, Resources } from './ports.ts';

export interface ShimSurroundings {
  readonly paths: ModulePaths;
  /** What it writes and reads however it is shut in: its own directory, the sockets of the runtime. */
  readonly writable: readonly string[];
  readonly readable: readonly string[];
  /** What the module sees nothing of, but for what is named above or by its deployment. */
  readonly hidden: readonly string[];
}

/** The shim's own limit. */
const cgroupNameMax = 100;

export function shimArguments(spec: LaunchSpec, surroundings: ShimSurroundings): readonly string[] {
  const { paths } = surroundings;
  const args = ['--dir', paths.directory, '--log', paths.log];
  args.push('--log-bytes', String(spec.logBytesMax), '--log-files', String(spec.logFiles));
  args.push('--grace-ms', String(spec.graceMs), '--no-new-privs');
  if (spec.stopSignal !== undefined) args.push('--stop-signal', spec.stopSignal);
  if (spec.uid !== undefined && spec.gid !== undefined) {
    args.push('--uid', String(spec.uid), '--gid', String(spec.gid));
    for (const group of spec.groups ?? []) args.push('--group', String(group));
  }
  if (spec.cwd !== undefined) args.push('--cwd', spec.cwd);
  for (const [name, value] of Object.entries(spec.rlimits ?? {})) args.push('--rlimit', `${name}=${value}`);
  // The shim adds a digest of the directory: gateways side by side on one machine have groups of their own.
  args.push('--cgroup', cgroupName(paths), ...resourceArguments(spec.resources ?? {}));
  if (spec.health?.notify === true) args.push('--notify', paths.notify);
  if (spec.isolation !== undefined) args.push(...isolationArguments(spec.isolation, surroundings));
  return [...args, '--', ...spec.command];
}

/** Ends what a killed shim left of its module, wherever its processes went. */
export function sweepArguments(paths: ModulePaths): readonly string[] {
  return ['--sweep', paths.directory, cgroupName(paths)];
}

function cgroupName({ fileName }: ModulePaths): string {
  return fileName.slice(0, cgroupNameMax);
}

function resourceArguments({ memoryBytes, cpus, pids, ioWeight, ioBytesPerSecond }: Resources): readonly string[] {
  const args = ['--pids', String(pids ?? modulePidsDefault)];
  if (memoryBytes !== undefined) args.push('--memory', String(memoryBytes));
  if (cpus !== undefined) args.push('--cpus', String(cpus));
  if (ioWeight !== undefined) args.push('--io-weight', String(ioWeight));
  if (ioBytesPerSecond !== undefined) args.push('--io-bytes', String(ioBytesPerSecond));
  return args;
}

function isolationArguments(isolation: Isolation, { writable, readable, hidden }: ShimSurroundings): readonly string[] {
  const args: string[] = ['--drop-capabilities'];
  for (const name of isolation.capabilities) args.push('--keep-capability', name);
  if (isolation.privateTmp) args.push('--private-tmp');
  if (isolation.readOnlyRoot) args.push('--read-only-root');
  for (const path of [...writable, ...isolation.writable]) args.push('--writable', path);
  for (const path of [...readable, ...(isolation.readable ?? [])]) args.push('--readable', path);
  for (const path of hidden) args.push('--hide', path);
  for (const path of isolation.devices) args.push('--device', path);
  if (isolation.egress !== 'any') args.push('--egress', isolation.egress);
  if (isolation.seccomp) args.push('--seccomp');
  if (isolation.landlock) args.push('--landlock');
  return args;
}
