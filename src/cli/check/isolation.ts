// Checks of what modules can be shut in with on this machine: what is in force, what is lacking, and what that means.
//
// The answers come from trying (platform/kernel-features.ts), not from version numbers. A feature that is lacking is
// a warning: modules run without it, and others still hold them. Each module's own list is in `weir list --json`.

import type { KernelFeatures } from '../../platform/kernel-features.ts';
import { type Check, type CheckFacts, fail, ok, skip, type Verdict, warn } from './check.ts';

/** One promise to the operator, kept by the named features together. */
interface Wall {
  readonly id: string;
  readonly title: string;
  /** Names of `lacking` that tear it down, each alone. */
  readonly features: readonly string[];
  /** What holds, for the report. */
  readonly held: (features: KernelFeatures) => string;
  /** What can happen without it. */
  readonly means: string;
  readonly mend: string;
}

const delegated =
  'in the unit Delegate=yes; on the kernel command line cgroup_enable=memory (Raspberry Pi: cmdline.txt)';
const asRoot = 'Run weir as root (it gives modules another user), with the unit of: weir config init.';

const walls: readonly Wall[] = [
  {
    id: 'isolation-memory',
    title: 'the memory of a module can be limited',
    features: ['memory'],
    held: cgroupText,
    means: 'A module that leaks takes the memory of all; the kernel then chooses whom it ends.',
    mend: `Give weir the memory controller: ${delegated}.`,
  },
  {
    id: 'isolation-processor',
    title: 'the processor time of a module can be limited',
    features: ['cpus'],
    held: cgroupText,
    means: 'A module that loops slows all others down.',
    mend: 'Give weir the cpu controller: in the unit Delegate=yes; a kernel with CONFIG_CFS_BANDWIDTH.',
  },
  {
    id: 'isolation-processes',
    title: 'the number of processes of a module can be limited',
    features: ['pids'],
    held: cgroupText,
    means: 'A module that forks without end makes the machine unusable.',
    mend: 'Give weir the pids controller: in the unit Delegate=yes; a kernel with CONFIG_CGROUP_PIDS.',
  },
  {
    id: 'isolation-disk',
    title: 'the disk traffic of a module can be limited',
    features: ['io-bytes', 'io-weight'],
    held: cgroupText,
    means: 'A module that writes without end slows the store of messages down.',
    mend: 'Give weir the io controller: in the unit Delegate=yes; weights need the bfq scheduler or CONFIG_BLK_CGROUP_IOCOST.',
  },
  {
    id: 'isolation-ending',
    title: 'all that a module started ends with it',
    features: ['cgroup'],
    held: cgroupText,
    means: 'A process that parts from its module may outlive it when its shim is killed.',
    mend: 'Mount the cgroup hierarchy (systemd does), and run weir as root or with Delegate=yes.',
  },
  {
    id: 'isolation-privileges',
    title: 'modules have no privileges',
    features: ['capabilities', 'keep-capability'],
    held: ({ root }) => (root ? 'a user of their own, no capabilities, no_new_privs' : 'no_new_privs'),
    means: 'A module keeps rights over the machine.',
    mend: asRoot,
  },
  {
    id: 'isolation-files',
    title: 'modules cannot read the files of others',
    features: ['landlock', 'hide'],
    held: ({ landlockAbi }) => `Landlock ABI ${landlockAbi}, mount namespaces`,
    means: 'Owners and modes of files alone decide: what is readable by all is readable by modules.',
    mend: 'Use Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK, and lsm=landlock,… on its command line.',
  },
  {
    id: 'isolation-root',
    title: 'modules cannot write outside of their directories',
    features: ['read-only-root', 'private-tmp'],
    held: () => 'read-only mounts, a /tmp for each',
    means: 'A module may write where its user may, and /tmp is shared.',
    mend: asRoot,
  },
  {
    id: 'isolation-signals',
    title: 'modules cannot signal each other',
    features: ['signal-scope'],
    held: ({ landlockAbi }) => `Landlock ABI ${landlockAbi}`,
    means: 'Modules that run as the same user can end each other.',
    mend: 'Use Linux 6.12 or newer, or give modules users of their own.',
  },
  {
    id: 'isolation-system-calls',
    title: 'dangerous system calls are refused',
    features: ['seccomp'],
    held: () => 'seccomp',
    means: 'A hole in a seldom used part of the kernel is open to modules.',
    mend: 'Use a kernel with CONFIG_SECCOMP_FILTER.',
  },
];

export const isolationChecks: readonly Check[] = [
  {
    id: 'isolation-starts',
    group: 'isolation',
    title: 'a shut-in module can be started',
    run: (facts) =>
      withKernel(facts, ({ starts, kernel, machine }) =>
        starts
          ? ok(`Linux ${kernel}, ${machine}`)
          : fail(
              'a trial start failed',
              'Run the shim with --probe under strace; is this a container with few rights?',
            ),
      ),
  },
  {
    id: 'isolation-users',
    group: 'isolation',
    title: 'modules have users of their own',
    run: (facts) => usersVerdict(facts),
  },
  ...walls.map(
    (wall): Check => ({
      id: wall.id,
      group: 'isolation',
      title: wall.title,
      run: (facts) => withKernel(facts, (features) => verdictOf(wall, features)),
    }),
  ),
  {
    id: 'isolation-network',
    group: 'isolation',
    title: 'the network of a module can be restricted',
    run: (facts) => withKernel(facts, networkVerdict),
  },
];

async function withKernel(facts: CheckFacts, judge: (features: KernelFeatures) => Verdict): Promise<Verdict> {
  const features = await facts.kernel();
  const verdict = judge(features);
  if (verdict.result === 'ok' || features.root) return verdict;
  return { ...verdict, cause: `${verdict.cause}\n(tried as this user, who is not root)` };
}

function verdictOf({ features: names, held, means, mend }: Wall, features: KernelFeatures): Verdict {
  const lacking = names.flatMap((name) => {
    const reason = features.lacking[name];
    return reason === undefined ? [] : [`${name}: ${reason}`];
  });
  if (lacking.length === 0) return ok(held(features));
  return warn(`${lacking.join('\n')}\n${means}`, mend);
}

/** Sockets are opened by owner and mode: no other wall stands before them. */
function usersVerdict({ reading, machine }: CheckFacts): Verdict {
  const { config } = reading;
  if (config === undefined) return skip('there is no usable configuration');
  if (machine.uid !== 0)
    return warn(
      'weir does not run as root: modules run as the same user as it does\nA module may open what weir may, its admin socket included.',
      asRoot,
    );
  if (config.modules.firstUid > 0) return ok(`from ${config.modules.firstUid} on`);
  const mend = 'In config.toml, [modules]: first_uid = 64000 (any free range of 512 numbers).';
  if (config.modules.user === undefined || config.modules.user === 'root')
    return warn(
      'modules run as root, without its privileges\nA module may open the sockets of weir and of other modules: they belong to root.',
      mend,
    );
  return warn(
    `all modules run as ${config.modules.user}\nModules are alike to the system: each may open what another one owns, where no other wall stands.`,
    mend,
  );
}

function networkVerdict({ egress, lacking }: KernelFeatures): Verdict {
  if (egress.none && egress.local) return ok('egress none and local');
  const without = [...(egress.none ? [] : ['none']), ...(egress.local ? [] : ['local'])];
  return warn(
    `egress "${without.join('" and "')}" would not hold: ${lacking['egress'] ?? 'refused'}\nA module that is to reach this site only can send anywhere.`,
    'egress "local" needs root, cgroup v2 mounted and CONFIG_CGROUP_BPF; else restrict the device in its firewall.',
  );
}

function cgroupText({ cgroup }: KernelFeatures): string {
  if (cgroup === 'hybrid') return 'cgroup v1 beside v2';
  return cgroup === 'none' ? '' : `cgroup v${cgroup}`;
}
