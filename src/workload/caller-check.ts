// Asks the machine who calls on a module's socket, and says whether it may (caller.ts judges).
//
//   own module first, for nearly every caller is that; then all others; then what is left
//   starting ── looked at again until the modules that are being started are known, or callerKnownMsMax is over
//
// Nothing is remembered: a process is looked up anew for each request, which costs some hundred microseconds and
// happens about once an hour a module.

import { callerKnownMsMax, callerLookAgainMs } from '../limits.ts';
import type { Clock } from '../platform/clock.ts';
import type { PeerCredentials } from '../platform/net.ts';
import type { ProcessTable } from '../platform/process-lineage.ts';
import { belongsTo, type Caller, judgeOther, type KnownModule, type ModuleLineage } from './caller.ts';
import type { PeerVerdict } from './ports.ts';

export interface CallerCheckPorts {
  readonly processes: ProcessTable;
  readonly clock: Clock;
  /** The modules that run now, as their supervisor knows them. */
  readonly modules: () => readonly KnownModule[];
}

const refusals = {
  starting: 'a process that belongs to no module that is known',
  gone: 'a process that has ended meanwhile',
  stranger: 'a process that is no module',
} as const;

export class CallerCheck {
  readonly #ports: CallerCheckPorts;

  constructor(ports: CallerCheckPorts) {
    this.#ports = ports;
  }

  /** Whether this process may use the sockets of the module. Never rejects. */
  async mayUse(moduleId: string, peer: PeerCredentials): Promise<PeerVerdict> {
    const caller = await this.#settled(peer, moduleId);
    const { kind } = caller;
    if (kind === 'module') {
      if (caller.name === moduleId) return { ok: true, sure: true };
      return { ok: false, who: `a process (pid ${peer.pid}) of the module '${caller.name}'` };
    }
    if (kind === 'operator') return { ok: true, sure: true };
    if (kind === 'unknown' || (kind === 'starting' && this.#cannotBeKnown(moduleId))) return { ok: true, sure: false };
    return { ok: false, who: `${refusals[kind]} (pid ${peer.pid}, uid ${peer.uid})` };
  }

  /** Whether this process may do what operators do: no module may, whoever it runs as. Never rejects. */
  async isOperator(peer: PeerCredentials): Promise<PeerVerdict> {
    const caller = await this.#settled(peer, undefined);
    const { kind } = caller;
    if (kind === 'module') return { ok: false, who: `a process (pid ${peer.pid}) of the module '${caller.name}'` };
    if (kind === 'starting' || kind === 'gone')
      return { ok: false, who: `${refusals[kind]} (pid ${peer.pid}, uid ${peer.uid})` };
    // Who else may connect is decided by the socket's owner, group and mode.
    return { ok: true, sure: kind !== 'unknown' };
  }

  async #settled(peer: PeerCredentials, moduleId: string | undefined): Promise<Caller> {
    const { clock } = this.#ports;
    const deadlineMs = clock.monotonicMs() + callerKnownMsMax;
    for (;;) {
      const caller = await this.#look(peer, moduleId);
      if (caller.kind !== 'starting' || clock.monotonicMs() >= deadlineMs) return caller;
      await new Promise<void>((resolve) => void clock.setTimer(callerLookAgainMs, resolve));
    }
  }

  async #look(peer: PeerCredentials, moduleId: string | undefined): Promise<Caller> {
    const { processes, modules } = this.#ports;
    const self = await processes.lineage(processes.pid);
    if (self === undefined) return { kind: 'unknown' };
    const lineage = peer.pid === 0 ? undefined : await processes.lineage(peer.pid);
    const known = lineage?.startTicks === peer.startTicks ? lineage : undefined;
    if (known !== undefined && known.pid !== self.pid) {
      const ownFirst = [...modules()].sort((a, b) => Number(b.name === moduleId) - Number(a.name === moduleId));
      for (const module of ownFirst) {
        const main = await this.#lineageOf(module);
        if (main !== undefined && belongsTo(known, main, self)) return { kind: 'module', name: module.name };
      }
    }
    return judgeOther(peer, known, { lineage: self, uid: processes.uid });
  }

  async #lineageOf({ name, kind, pid }: KnownModule): Promise<ModuleLineage | undefined> {
    const { processes } = this.#ports;
    const main = pid === null ? undefined : await processes.lineage(pid);
    if (main === undefined) return undefined;
    const [parent] = main.ancestors;
    const parentLineage = kind === 'process' || parent === undefined ? undefined : await processes.lineage(parent);
    return { name, kind, main, parentCgroups: parentLineage?.cgroups ?? {} };
  }

  /** A container whose engine tells no pid that we could find. */
  #cannotBeKnown(moduleId: string): boolean {
    const module = this.#ports.modules().find(({ name }) => name === moduleId);
    return module?.kind === 'container' && module.pid === null;
  }
}
