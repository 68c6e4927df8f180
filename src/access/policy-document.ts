// The authorisation policy of `$edgeHub`'s desired properties, as IoT Edge 1.2 wrote it: `mqttBroker.authorizations`.
//
//   [ { "identities": ["{{iot:identity}}", "hub.example/sensor-1", "plc-1"],
//       "allow": [ { "operations": ["mqtt:publish", "mqtt:subscribe"], "resources": ["site/{{iot:device_id}}/#"] } ],
//       "deny":  [ { "operations": ["mqtt:subscribe"], "resources": ["site/+/secret"] } ] }, … ]
//
// Owns the reading: a document is taken whole or refused with every mistake, each with its path. What the statements
// come to is policy-authoriser.ts.
//
// A text with variables is cut into parts once, here; what a variable stands for is filled in for each client, as plain
// text: a value with `+` or `#` in it never becomes a wildcard.

import {
  accessPolicyEntriesMax,
  accessPolicyResourceCharactersMax,
  accessPolicyStatementsMax,
  problemsMax,
} from '../limits.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../model/json.ts';
import type { Problem } from '../model/problem.ts';
import { isIotHubTopic } from '../protocol/iothub/topics.ts';
import { isValidTopicFilter } from '../protocol/mqtt/topic.ts';

export const policyVariables = [
  'iot:identity',
  'iot:device_id',
  'iot:module_id',
  'iot:this_device_id',
  'mqtt:client_id',
  'mqtt:username',
  'mqtt:topic',
] as const;

export type PolicyVariable = (typeof policyVariables)[number];

/** A text and the variables in it, in their order. */
export type PolicyTemplate = readonly (string | { readonly variable: PolicyVariable })[];

export type PolicyOperation = 'connect' | 'publish' | 'subscribe';

export interface PolicyRule {
  readonly operations: ReadonlySet<PolicyOperation>;
  readonly resources: readonly PolicyTemplate[];
}

export interface PolicyStatement {
  readonly identities: readonly PolicyTemplate[];
  readonly allow: readonly PolicyRule[];
  readonly deny: readonly PolicyRule[];
}

export interface ParsedPolicy {
  readonly statements: readonly PolicyStatement[];
  /** Not empty: nothing of it may be put in force. At most problemsMax. */
  readonly problems: readonly Problem[];
  /** What is right and has no effect. */
  readonly warnings: readonly Problem[];
}

const operationNames: Readonly<Record<string, PolicyOperation>> = {
  'mqtt:connect': 'connect',
  'mqtt:publish': 'publish',
  'mqtt:subscribe': 'subscribe',
};
const statementMembers = ['identities', 'allow', 'deny'];
const ruleMembers = ['operations', 'resources'];
const variablePattern = /\{\{([^{}]*)\}\}/g;
const shownCharactersMax = 60;

/** Reads the document that stands at `path`. Never throws; the work is bounded whatever it holds. */
export function parsePolicy(document: JsonValue, path: string): ParsedPolicy {
  const reading = new PolicyReading();
  const statements = reading.statements(document, path);
  return { statements, problems: reading.problems, warnings: reading.warnings };
}

class PolicyReading {
  readonly problems: Problem[] = [];
  readonly warnings: Problem[] = [];
  #entries = 0;

  statements(document: JsonValue, path: string): readonly PolicyStatement[] {
    if (!Array.isArray(document)) {
      this.#problem(path, `${shown(document)} is no policy: write an array of statements.`);
      return [];
    }
    if (document.length > accessPolicyStatementsMax) {
      this.#problem(path, `there are ${document.length} statements: at most ${accessPolicyStatementsMax} are taken.`);
      return [];
    }
    return document.flatMap((statement, index) => this.#statement(statement, `${path}[${index}]`) ?? []);
  }

  #statement(value: JsonValue, path: string): PolicyStatement | undefined {
    if (!isJsonObject(value)) {
      this.#problem(path, 'a statement is an object with identities and with allow, deny or both.');
      return undefined;
    }
    this.#members(value, path, statementMembers);
    const { identities, allow = [], deny = [] } = value;
    const allowed = this.#rules(allow, `${path}.allow`);
    const denied = this.#rules(deny, `${path}.deny`);
    if (isEmpty(allow) && isEmpty(deny))
      this.#problem(path, 'the statement says nothing: give it an allow or a deny with one rule at least.');
    return { identities: this.#identities(identities, `${path}.identities`), allow: allowed, deny: denied };
  }

  #identities(value: JsonValue | undefined, path: string): readonly PolicyTemplate[] {
    const texts = this.#texts(
      value,
      path,
      'who it is about: "{{iot:identity}}", "<hub>/<device>/<module>" or a user name',
    );
    return texts.flatMap(({ text, at }) => {
      const template = this.#template(text, at);
      if (template?.some((part) => typeof part !== 'string' && part.variable === 'mqtt:topic') !== true)
        return template === undefined ? [] : [template];
      this.#problem(at, '{{mqtt:topic}} names no client: it is for resources.');
      return [];
    });
  }

  #rules(value: JsonValue, path: string): readonly PolicyRule[] {
    if (!Array.isArray(value)) {
      this.#problem(path, 'an array of rules is expected: [{ "operations": […], "resources": […] }].');
      return [];
    }
    return value.flatMap((rule, index) => this.#rule(rule, `${path}[${index}]`) ?? []);
  }

  #rule(value: JsonValue, path: string): PolicyRule | undefined {
    if (!this.#counts(path)) return undefined;
    if (!isJsonObject(value)) {
      this.#problem(path, 'a rule is an object with operations and resources.');
      return undefined;
    }
    this.#members(value, path, ruleMembers);
    const operations = this.#operations(value['operations'], `${path}.operations`);
    const needsNone = operations.size === 1 && operations.has('connect');
    const { resources } = value;
    const at = `${path}.resources`;
    if (needsNone && (resources === undefined || isEmpty(resources))) return { operations, resources: [] };
    const texts = this.#texts(resources, at, 'topics it is about, such as "site/{{iot:device_id}}/#"');
    const templates = texts.map(({ text, at: place }) => this.#resource(text, place));
    return { operations, resources: templates.filter((template) => template !== undefined) };
  }

  #operations(value: JsonValue | undefined, path: string): ReadonlySet<PolicyOperation> {
    const operations = new Set<PolicyOperation>();
    const known = Object.keys(operationNames).join(', ');
    for (const { text, at } of this.#texts(value, path, `operations: ${known}`)) {
      const operation = Object.hasOwn(operationNames, text) ? operationNames[text] : undefined;
      if (operation === undefined) this.#problem(at, `${shown(text)} is no operation. There are: ${known}.`);
      else operations.add(operation);
    }
    return operations;
  }

  #resource(text: string, path: string): PolicyTemplate | undefined {
    const template = this.#template(text, path);
    if (template === undefined) return undefined;
    const filter = template.map((part) => (typeof part === 'string' ? part : 'x')).join('');
    const isTopic = template.some((part) => typeof part !== 'string' && part.variable === 'mqtt:topic');
    if (isTopic && template.length > 1) {
      this.#problem(path, '{{mqtt:topic}} stands for a whole topic: nothing belongs before or behind it.');
      return undefined;
    }
    if (!isValidTopicFilter(filter)) {
      const rule = '+ stands for one whole level, # for the last one and all below.';
      this.#problem(path, `${shown(text)} is no topic filter: ${rule}`);
      return undefined;
    }
    if (isIotHubTopic(filter) && this.warnings.length < problemsMax)
      this.warnings.push({
        path,
        message: `${shown(text)} has no effect: topics of IoT Hub belong to their identities, whatever a policy says.`,
      });
    return template;
  }

  #template(text: string, path: string): PolicyTemplate | undefined {
    const parts: (string | { readonly variable: PolicyVariable })[] = [];
    let at = 0;
    for (const match of text.matchAll(variablePattern)) {
      const variable = policyVariables.find((name) => name === match[1]?.trim());
      if (variable === undefined) {
        const known = policyVariables.map((name) => `{{${name}}}`).join(', ');
        this.#problem(path, `there is no variable ${shown(match[0])}. There are: ${known}.`);
        return undefined;
      }
      if (match.index > at) parts.push(text.slice(at, match.index));
      parts.push({ variable });
      at = match.index + match[0].length;
    }
    if (at < text.length) parts.push(text.slice(at));
    return parts;
  }

  /** The texts of a list that must not be empty, each with its path. */
  #texts(
    value: JsonValue | undefined,
    path: string,
    what: string,
  ): readonly { readonly text: string; readonly at: string }[] {
    if (!Array.isArray(value) || value.length === 0) {
      this.#problem(path, `a list is expected that is not empty: ${what}.`);
      return [];
    }
    const texts: { readonly text: string; readonly at: string }[] = [];
    for (const [index, item] of value.entries()) {
      const at = `${path}[${index}]`;
      if (!this.#counts(path)) return [];
      if (typeof item !== 'string' || item === '') this.#problem(at, `${shown(item)} is not a text.`);
      else if (item.length > accessPolicyResourceCharactersMax)
        this.#problem(
          at,
          `the text has ${item.length} characters: at most ${accessPolicyResourceCharactersMax} are taken.`,
        );
      else texts.push({ text: item, at });
    }
    return texts;
  }

  #members(value: JsonObject, path: string, known: readonly string[]): void {
    for (const name of Object.keys(value)) {
      if (!known.includes(name))
        this.#problem(
          `${path}.${name.slice(0, shownCharactersMax)}`,
          `unknown member. There are: ${known.join(', ')}.`,
        );
    }
  }

  /** False when the document holds more than is taken; said once. */
  #counts(path: string): boolean {
    this.#entries++;
    if (this.#entries === accessPolicyEntriesMax + 1)
      this.#problem(
        path,
        `there are more than ${accessPolicyEntriesMax} rules, identities and resources: use wildcards and variables.`,
      );
    return this.#entries <= accessPolicyEntriesMax;
  }

  #problem(path: string, message: string): void {
    if (this.problems.length < problemsMax) this.problems.push({ path, message });
  }
}

function isEmpty(value: JsonValue): boolean {
  return Array.isArray(value) && value.length === 0;
}

function shown(value: JsonValue | undefined): string {
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'a list' : 'an object';
  const text = JSON.stringify(value ?? null);
  return text.length <= shownCharactersMax ? text : `${text.slice(0, shownCharactersMax)}…`;
}
