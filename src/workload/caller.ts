// Who calls on a module's socket: a pure judgement of what the kernel tells of the process at the other end.
//
//   module    it descends from the module's process or from its shim, which adopts whatever the module leaves behind;
//             or it is in the control group of the module's container
//   operator  it runs as root or as weir's own user, in our pid namespace, and is no module's: it may read the keys
//             themselves, so that refusing it would only look like protection
//   starting  it is below the runtime, or in a container, and no module is known yet that it belongs to: ask again
//   gone      the process that connected has ended, or its pid is another's now: nobody knows who holds the connection
//   stranger  a process of this machine that is nobody's here
//   unknown   the kernel does not show it to us: then the place of the socket decides, as it does without all this
//
// Control groups decide for containers only: their engine makes one for each, and `exec` puts processes there that
// have other parents. A group that the container shares with its parent, or with us, says nothing.

import type { PeerCredentials } from '../platform/net.ts';
import type { ProcessLineage } from '../platform/process-lineage.ts';

export interface KnownModule {
  readonly name: string;
  readonly kind: 'process' | 'container';
  /** Its main process; null while it has none, or nobody tells. */
  readonly pid: number | null;
}

export interface ModuleLineage {
  readonly name: string;
  readonly kind: 'process' | 'container';
  readonly main: ProcessLineage;
  /** Control groups of the main process's parent. */
  readonly parentCgroups: Readonly<Record<string, string>>;
}

export type Caller =
  | { readonly kind: 'module'; readonly name: string }
  | { readonly kind: 'operator' | 'starting' | 'gone' | 'stranger' | 'unknown' };

/** Whether the process belongs to the module. */
export function belongsTo(process: ProcessLineage, module: ModuleLineage, self: ProcessLineage): boolean {
  const { main, kind } = module;
  const line = [process.pid, ...process.ancestors];
  if (line.includes(main.pid)) return true;
  const [parent] = main.ancestors;
  if (kind === 'process') {
    const isShim = parent !== undefined && parent > 1 && parent !== self.pid && !self.ancestors.includes(parent);
    return isShim && line.includes(parent);
  }
  return Object.entries(main.cgroups).some(([hierarchy, path]) => {
    const isOwn = path !== '/' && path !== self.cgroups[hierarchy] && path !== module.parentCgroups[hierarchy];
    const found = process.cgroups[hierarchy];
    return isOwn && found !== undefined && (found === path || found.startsWith(`${path}/`));
  });
}

/** Who it is, when it is no module that is known. `lineage` undefined: there is no such process, or we may not see it. */
export function judgeOther(
  peer: PeerCredentials,
  lineage: ProcessLineage | undefined,
  self: { readonly lineage: ProcessLineage; readonly uid: number },
): Caller {
  if (peer.pid === 0) return { kind: 'unknown' };
  if (lineage === undefined || lineage.startTicks !== peer.startTicks) return { kind: 'gone' };
  if (lineage.pid === self.lineage.pid) return { kind: 'operator' };
  if (lineage.isNested || lineage.ancestors.includes(self.lineage.pid)) return { kind: 'starting' };
  if (peer.uid === 0 || peer.uid === self.uid) return { kind: 'operator' };
  return { kind: 'stranger' };
}
