// How many messages modules of this gateway, and everybody together, have sent since the runtime started.
//
// One number a module; modules prove who they are, and there are no more than deployments may have, so the list is
// bounded by them. What modules receive is counted by the router, lane by lane.

export class ModuleTraffic {
  readonly #sent = new Map<string, number>();
  #total = 0;

  /** `moduleId` is undefined for a device behind the gateway and what belongs to it. */
  sent(moduleId: string | undefined): void {
    this.#total++;
    if (moduleId === undefined) return;
    this.#sent.set(moduleId, (this.#sent.get(moduleId) ?? 0) + 1);
  }

  count(moduleId: string): number {
    return this.#sent.get(moduleId) ?? 0;
  }

  total(): number {
    return this.#total;
  }
}
