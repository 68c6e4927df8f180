// Whether somebody may connect, publish, subscribe and receive, by the policy of a gateway (policy-document.ts).
//
//   statements in order ─► the first whose identities name the client and whose deny or allow names the topic decides
//                          within one statement deny beats allow; when none decides, it is refused
//
// A subscription is allowed when a rule covers all of its filter: `site/#` is not covered by `site/+`. What it brings
// is asked for each topic again (mayReceive), so that a denied topic inside an allowed filter stays away.
//
// Whatever the policy says: nobody publishes to a topic that begins with $, and IoT Hub's topics belong to their
// identities alone. A client with an identity connects by its key, not by the policy.
//
// Names. An identity is `<hub>/<device>[/<module>]`; a text without the hub's name, and without variables, is the user
// name of a client that has no identity: neither can be taken for the other.
//
// `epoch` changes with the policy; whoever keeps a decision compares it.

import { type Identity, identityKey } from '../model/address.ts';
import { isIotHubTopic } from '../protocol/iothub/topics.ts';
import type {
  PolicyOperation,
  PolicyRule,
  PolicyStatement,
  PolicyTemplate,
  PolicyVariable,
} from './policy-document.ts';

/** Whom the policy is about. */
export interface PolicySubject {
  readonly name: string;
  /** Undefined for a client that came in by password or certificate. */
  readonly identity: Identity | undefined;
  readonly clientId?: string | undefined;
}

export interface PolicyOptions {
  /** Names before the slash in `<hub>/<device>`: the hub's and the gateway's own. */
  readonly hostnames: readonly string[];
  readonly thisDeviceId: string;
  /** Whether the broker's own numbers may be read by everybody. */
  readonly isSysReadable: boolean;
}

export type PolicyDenial = (what: 'publish' | 'subscription', subject: PolicySubject, topic: string) => void;

/** `text` is a level as it is; the two wildcards stand apart, so that a value that looks like one is none. */
type Level = { readonly text: string } | '+' | '#';

interface CompiledRule {
  readonly operations: ReadonlySet<PolicyOperation>;
  /** 'any': whatever topic is asked for. */
  readonly filters: readonly (readonly Level[] | 'any')[];
}

interface CompiledStatement {
  readonly deny: readonly CompiledRule[];
  readonly allow: readonly CompiledRule[];
}

interface Compiled {
  readonly epoch: number;
  readonly statements: readonly CompiledStatement[];
}

const sysRoot = '$SYS/';

export class PolicyAuthoriser {
  readonly #options: PolicyOptions;
  readonly #onDenied: PolicyDenial;
  readonly #compiled = new WeakMap<PolicySubject, Compiled>();
  #statements: readonly PolicyStatement[] = [];
  #epoch = 0;

  /** Refuses everything until replace(). `onDenied` hears what mayPublish and maySubscribe refuse. */
  constructor(options: PolicyOptions, onDenied: PolicyDenial = () => undefined) {
    this.#options = options;
    this.#onDenied = onDenied;
  }

  get epoch(): number {
    return this.#epoch;
  }

  replace(statements: readonly PolicyStatement[]): void {
    this.#statements = statements;
    this.#epoch++;
  }

  mayConnect(subject: PolicySubject): boolean {
    if (subject.identity !== undefined) return true;
    return !this.#claimsIdentity(subject.name) && this.#allows(subject, 'connect', '');
  }

  mayPublish(subject: PolicySubject, topic: string): boolean {
    const may = !topic.startsWith('$') && !isIotHubTopic(topic) && this.#allows(subject, 'publish', topic);
    if (!may) this.#onDenied('publish', subject, topic);
    return may;
  }

  /** Of a shared subscription, `filter` is what is shared. */
  maySubscribe(subject: PolicySubject, filter: string): boolean {
    const may = filter.startsWith(sysRoot)
      ? this.#options.isSysReadable
      : !isIotHubTopic(filter) && this.#allows(subject, 'subscribe', filter);
    if (!may) this.#onDenied('subscription', subject, filter);
    return may;
  }

  mayReceive(subject: PolicySubject, topic: string): boolean {
    if (topic.startsWith(sysRoot)) return this.#options.isSysReadable;
    return this.#allows(subject, 'subscribe', topic);
  }

  /** Whether `name` looks like an identity's: nobody may come in under such a name by a password. */
  #claimsIdentity(name: string): boolean {
    const slash = name.indexOf('/');
    return slash > 0 && this.#isHost(name.slice(0, slash));
  }

  #isHost(name: string): boolean {
    return this.#options.hostnames.some((hostname) => hostname.toLowerCase() === name.toLowerCase());
  }

  #allows(subject: PolicySubject, operation: PolicyOperation, topic: string): boolean {
    const wanted = topic.split('/');
    const names = (rule: CompiledRule): boolean =>
      rule.operations.has(operation) &&
      (operation === 'connect' || rule.filters.some((filter) => filter === 'any' || covers(filter, wanted)));
    for (const { deny, allow } of this.#statementsFor(subject)) {
      if (deny.some(names)) return false;
      if (allow.some(names)) return true;
    }
    return false;
  }

  #statementsFor(subject: PolicySubject): readonly CompiledStatement[] {
    const known = this.#compiled.get(subject);
    if (known?.epoch === this.#epoch) return known.statements;
    const values = this.#valuesOf(subject);
    const statements = this.#statements
      .filter(({ identities }) => identities.some((template) => this.#isAbout(template, subject, values)))
      .map(({ deny, allow }) => ({ deny: compile(deny, values), allow: compile(allow, values) }));
    this.#compiled.set(subject, { epoch: this.#epoch, statements });
    return statements;
  }

  #valuesOf({ name, identity, clientId }: PolicySubject): ReadonlyMap<PolicyVariable, string> {
    const values = new Map<PolicyVariable, string>([['iot:this_device_id', this.#options.thisDeviceId]]);
    if (identity === undefined) {
      if (clientId !== undefined) values.set('mqtt:client_id', clientId);
      return values.set('mqtt:username', name);
    }
    const key = identityKey(identity);
    values.set('mqtt:client_id', clientId ?? key);
    values.set('iot:identity', key);
    values.set('iot:device_id', identity.deviceId);
    if (identity.moduleId !== undefined) values.set('iot:module_id', identity.moduleId);
    return values;
  }

  #isAbout(
    template: PolicyTemplate,
    { name, identity }: PolicySubject,
    values: ReadonlyMap<PolicyVariable, string>,
  ): boolean {
    const parts = fill(template, values);
    if (parts === undefined) return false;
    const text = parts.map((part) => part.text).join('');
    if (identity === undefined) return text === name && !this.#claimsIdentity(text);
    const key = identityKey(identity);
    if (template.some((part) => typeof part !== 'string') && text === key) return true;
    const slash = text.indexOf('/');
    return slash > 0 && text.slice(slash + 1) === key && this.#isHost(text.slice(0, slash));
  }
}

interface Filled {
  readonly text: string;
  readonly isValue: boolean;
}

/** The parts with the client's values in them; undefined when it has not all of them. */
function fill(template: PolicyTemplate, values: ReadonlyMap<PolicyVariable, string>): readonly Filled[] | undefined {
  const parts: Filled[] = [];
  for (const part of template) {
    const text = typeof part === 'string' ? part : values.get(part.variable);
    if (text === undefined) return undefined;
    parts.push({ text, isValue: typeof part !== 'string' });
  }
  return parts;
}

function compile(rules: readonly PolicyRule[], values: ReadonlyMap<PolicyVariable, string>): readonly CompiledRule[] {
  return rules.map(({ operations, resources }) => ({
    operations,
    filters: resources.map((template) => filterOf(template, values)).filter((filter) => filter !== undefined),
  }));
}

/** Undefined: the client has not what the resource names. */
function filterOf(
  template: PolicyTemplate,
  values: ReadonlyMap<PolicyVariable, string>,
): readonly Level[] | 'any' | undefined {
  const [first] = template;
  if (typeof first === 'object' && first.variable === 'mqtt:topic') return 'any';
  const parts = fill(template, values);
  return parts === undefined ? undefined : levelsOf(parts);
}

/** Cut at slashes, those inside values too: `{{iot:identity}}` of a module is two levels. */
function levelsOf(parts: readonly Filled[]): readonly Level[] {
  const levels: { text: string; hasValue: boolean }[] = [{ text: '', hasValue: false }];
  for (const { text, isValue } of parts) {
    for (const [index, piece] of text.split('/').entries()) {
      if (index > 0) levels.push({ text: '', hasValue: false });
      const level = levels[levels.length - 1] as { text: string; hasValue: boolean };
      level.text += piece;
      level.hasValue ||= isValue;
    }
  }
  return levels.map(({ text, hasValue }) => (!hasValue && (text === '+' || text === '#') ? text : { text }));
}

/** Whether everything that `wanted` (a topic, or a filter) names lies within `rule`. */
function covers(rule: readonly Level[], wanted: readonly string[]): boolean {
  // As in subscriptions: a leading wildcard does not match a topic that starts with $ [MQTT-4.7.2-1].
  if (wanted[0]?.startsWith('$') === true && typeof rule[0] === 'string') return false;
  for (const [index, level] of rule.entries()) {
    if (level === '#') return true;
    const other = wanted[index];
    if (other === undefined || other === '#') return false;
    if (level === '+') continue;
    if (other === '+' || other !== level.text) return false;
  }
  return rule.length === wanted.length;
}
