// `mqttBroker` of `$edgeHub`'s desired properties (schema 1.2): sections that belong to somebody else, handed on.
//
//   mqttBroker.authorizations, mqttBroker.bridges ─► hands.apply() ─► nothing wrong: in force, and remembered
//                                                          └─ problems: reported; the last good one stays in force
//
// What was good is remembered section by section, so that after a restart each is what it was, whatever the twin says.

import { errorMessage } from '../model/errors.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../model/json.ts';
import type { Problem } from '../model/problem.ts';
import type { Log } from '../platform/log.ts';
import type { AgentMemory } from './ports.ts';

export interface SectionHands {
  /** Its member of `mqttBroker`. */
  readonly name: string;
  /** Puts the section in force, undefined for none. Answers what is wrong with it: then nothing changes. */
  apply(value: JsonValue | undefined, path: string): readonly Problem[];
}

export interface BrokerSectionsPorts {
  readonly hands: readonly SectionHands[];
  readonly memory: AgentMemory;
  readonly log: Log;
}

const root = 'mqttBroker';
const firstSchema = '1.2';

export class BrokerSections {
  readonly #ports: BrokerSectionsPorts;

  constructor(ports: BrokerSectionsPorts) {
    this.#ports = ports;
  }

  /** Puts in force what was good the last time. */
  async start(): Promise<void> {
    const { hands, memory, log } = this.#ports;
    for (const { name, apply } of hands) {
      const remembered = await memory.state(keyOf(name));
      const parsed = remembered === undefined ? undefined : parseJson(remembered);
      if (parsed?.ok !== true) continue;
      const [problem] = apply(parsed.value, pathOf(name));
      if (problem !== undefined)
        log.warn('what was good of the deployment is so no longer', { section: pathOf(name), reason: problem.message });
    }
  }

  /** Hands each section on. Answers what is wrong, with paths from the desired properties on. */
  take(desired: JsonObject): readonly Problem[] {
    const section = desired[root] ?? undefined;
    const schema = desired['schemaVersion'];
    if (section !== undefined && typeof schema === 'string' && schema < firstSchema)
      return [{ path: root, message: `it needs "schemaVersion": "${firstSchema}" or later.` }];
    if (section !== undefined && !isJsonObject(section))
      return [{ path: root, message: 'an object with authorizations, bridges or both is expected.' }];
    return this.#ports.hands.flatMap(({ name, apply }) => {
      const value = section?.[name] ?? undefined;
      const problems = apply(value, pathOf(name));
      if (problems.length === 0) this.#remember(name, value);
      return problems;
    });
  }

  #remember(name: string, value: JsonValue | undefined): void {
    const { memory, log } = this.#ports;
    // Nothing is remembered as an empty text, which is no JSON.
    memory.saveState(keyOf(name), value === undefined ? '' : JSON.stringify(value)).catch((error: unknown) =>
      log.warn('a section of the deployment could not be remembered', {
        section: pathOf(name),
        reason: errorMessage(error),
      }),
    );
  }
}

function pathOf(name: string): string {
  return `${root}.${name}`;
}

function keyOf(name: string): string {
  return `agent:last-good-${name}`;
}
