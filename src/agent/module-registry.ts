// Which module identities exist on this device, each with its generation, its sockets, and what it is told of them.
//
//   provide(module, kind) ─► env      variables, whose paths hold where the module is
//                            mounts   directories of this machine that a container must see, at the same paths
//                            hosts    names that must lead to this machine from inside a container
//
// A generation id is born with the first deployment of a module and dies with its removal: tokens and keys of an
// earlier life of the same name do not work any more. Generations are remembered, so that a restart of the
// runtime does not disturb modules that keep running.
//
// Invariant: a module's generation is durable before the module is told about it.

import { isJsonObject, parseJson } from '../model/json.ts';
import type { AgentMemory, ModuleIdentities, ModuleKind, ModuleProvision } from './ports.ts';

export interface RegistryPorts {
  readonly memory: AgentMemory;
  readonly newGenerationId: () => string;
  readonly workload: {
    open(module: { readonly moduleId: string; readonly generationId: string }): Promise<void>;
    close(moduleId: string): Promise<void>;
  };
  /** Called when a module's life begins: it was not on this device before. */
  readonly created?: ((moduleId: string) => void) | undefined;
  /** Called when a module gets or loses its identity: its twin begins or ends here. */
  readonly joined: (moduleId: string) => void;
  readonly left: (moduleId: string) => Promise<void>;
  /** What the module is told, once its sockets are open. */
  readonly provision: (module: {
    readonly moduleId: string;
    readonly generationId: string;
    readonly kind: ModuleKind;
  }) => ModuleProvision;
}

const generationsKey = 'agent:module-generations';

export class ModuleRegistry implements ModuleIdentities {
  readonly #ports: RegistryPorts;
  #generations: ReadonlyMap<string, string> = new Map();
  readonly #open = new Set<string>();

  constructor(ports: RegistryPorts) {
    this.#ports = ports;
  }

  /** Recalls the identities of the last run. Their sockets are opened by provide(). */
  async start(): Promise<void> {
    const text = await this.#ports.memory.state(generationsKey);
    const parsed = text === undefined ? undefined : parseJson(text);
    if (parsed?.ok !== true || !isJsonObject(parsed.value)) return;
    const entries = Object.entries(parsed.value);
    this.#generations = new Map(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
  }

  /** Undefined when there is no such module on this device. */
  generationId(moduleId: string): string | undefined {
    return this.#generations.get(moduleId);
  }

  moduleIds(): readonly string[] {
    return [...this.#generations.keys()];
  }

  async provide(moduleId: string, kind: ModuleKind = 'process'): Promise<ModuleProvision> {
    let generationId = this.#generations.get(moduleId);
    if (generationId === undefined) {
      generationId = this.#ports.newGenerationId();
      await this.#remember(new Map(this.#generations).set(moduleId, generationId));
      this.#ports.created?.(moduleId);
    }
    if (!this.#open.has(moduleId)) {
      await this.#ports.workload.open({ moduleId, generationId });
      this.#open.add(moduleId);
      this.#ports.joined(moduleId);
    }
    return this.#ports.provision({ moduleId, generationId, kind });
  }

  async keepOnly(moduleIds: readonly string[]): Promise<void> {
    const gone = [...this.#generations.keys()].filter((moduleId) => !moduleIds.includes(moduleId));
    if (gone.length === 0) return;
    for (const moduleId of gone) {
      this.#open.delete(moduleId);
      await this.#ports.workload.close(moduleId);
      await this.#ports.left(moduleId);
    }
    await this.#remember(new Map([...this.#generations].filter(([moduleId]) => !gone.includes(moduleId))));
  }

  async #remember(generations: ReadonlyMap<string, string>): Promise<void> {
    await this.#ports.memory.saveState(generationsKey, JSON.stringify(Object.fromEntries(generations)));
    this.#generations = generations;
  }
}
