// Whether somebody may publish, subscribe and receive, by the rules of an ACL file, decided as mosquitto decides.
//
//   1. nobody publishes to $SYS
//   2. rules of the user: a matching deny refuses, else a matching grant allows
//   3. nobody whose user name or client id holds + or # gets further: it would be a wildcard in a pattern
//   4. patterns: a matching deny refuses, else a matching grant allows
//   5. refused
//
// Read rules hold for each message when it is delivered (mayReceive), so a subscription to # is granted to whoever may
// read anything at all, and brings what may be read. A subscription that can never bring anything is refused:
// mosquitto would grant it and stay silent.
//
// `epoch` changes with the rules; whoever keeps a decision compares it. Without rules everything but 1. is allowed.

import type { AclRules, TopicRule } from './acl-file.ts';
import { anonymousName, type Subject } from './ports.ts';

type Wanted = 'read' | 'write';

export type DenialListener = (what: 'publish' | 'subscription', subject: Subject, topic: string) => void;

interface CompiledRule {
  readonly levels: readonly string[];
  readonly reads: boolean;
  readonly writes: boolean;
}

/** One group of rules: denials are asked first. */
interface CompiledRules {
  readonly denials: readonly CompiledRule[];
  readonly grants: readonly CompiledRule[];
}

interface SubjectRules {
  readonly epoch: number;
  /** In order of precedence. */
  readonly groups: readonly CompiledRules[];
}

export class AclAuthoriser {
  #rules: AclRules | undefined;
  #epoch = 0;
  readonly #compiled = new WeakMap<Subject, SubjectRules>();

  readonly #onDenied: DenialListener;

  /** `onDenied` hears what mayPublish and maySubscribe refuse; deliveries that are held back are nobody's fault. */
  constructor(rules: AclRules | undefined, onDenied: DenialListener = () => undefined) {
    this.#rules = rules;
    this.#onDenied = onDenied;
  }

  get epoch(): number {
    return this.#epoch;
  }

  replace(rules: AclRules | undefined): void {
    this.#rules = rules;
    this.#epoch++;
  }

  mayPublish(subject: Subject, topic: string): boolean {
    const isSys = topic === '$SYS' || topic.startsWith('$SYS/');
    const may = !isSys && this.#may(subject, topic, 'write');
    if (!may) this.#onDenied('publish', subject, topic);
    return may;
  }

  mayReceive(subject: Subject, topic: string): boolean {
    return this.#may(subject, topic, 'read');
  }

  /** Of a shared subscription, `filter` is what is shared. */
  maySubscribe(subject: Subject, filter: string): boolean {
    const may = this.#rules === undefined || this.#mayBring(subject, filter, this.#rules);
    if (!may) this.#onDenied('subscription', subject, filter);
    return may;
  }

  /** Whether a subscription can bring anything. */
  #mayBring(subject: Subject, filter: string, rules: AclRules): boolean {
    const wanted = filter.split('/');
    if (!wanted.some((level) => level === '+' || level === '#')) return this.#may(subject, filter, 'read');
    return this.#groupsOf(subject, rules).some(({ grants }) =>
      grants.some((rule) => rule.reads && overlaps(rule.levels, wanted)),
    );
  }

  #may(subject: Subject, topic: string, wanted: Wanted): boolean {
    if (this.#rules === undefined) return true;
    const levels = topic.split('/');
    for (const { denials, grants } of this.#groupsOf(subject, this.#rules)) {
      if (denials.some((rule) => matches(rule.levels, levels))) return false;
      if (grants.some((rule) => (wanted === 'read' ? rule.reads : rule.writes) && matches(rule.levels, levels)))
        return true;
    }
    return false;
  }

  #groupsOf(subject: Subject, rules: AclRules): readonly CompiledRules[] {
    const known = this.#compiled.get(subject);
    if (known?.epoch === this.#epoch) return known.groups;
    const groups = [compile(rules.users.get(subject.name) ?? []), compile(patternsFor(subject, rules.patterns))];
    this.#compiled.set(subject, { epoch: this.#epoch, groups });
    return groups;
  }
}

/** The patterns with the subject's names in them; none that names what the subject has not. */
function patternsFor({ name, clientId }: Subject, patterns: readonly TopicRule[]): readonly TopicRule[] {
  const user = name === anonymousName ? undefined : name;
  if (/[+#]/.test(user ?? '') || /[+#]/.test(clientId ?? '')) return [];
  return patterns.flatMap(({ access, filter }) => {
    if (filter.includes('%u') && user === undefined) return [];
    if (filter.includes('%c') && clientId === undefined) return [];
    const named = filter.replace(/%[uc]/g, (mark) => (mark === '%u' ? user : clientId) ?? '');
    return [{ access, filter: named }];
  });
}

function compile(rules: readonly TopicRule[]): CompiledRules {
  const compiled = rules.map(({ access, filter }) => ({
    isDenial: access === 'deny',
    levels: filter.split('/'),
    reads: access === 'read' || access === 'readwrite',
    writes: access === 'write' || access === 'readwrite',
  }));
  return {
    denials: compiled.filter(({ isDenial }) => isDenial),
    grants: compiled.filter(({ isDenial }) => !isDenial),
  };
}

/** As in subscriptions: a leading wildcard does not match a topic that starts with $ [MQTT-4.7.2-1]. */
function matches(filter: readonly string[], topic: readonly string[]): boolean {
  if (topic[0]?.startsWith('$') === true && !filter[0]?.startsWith('$')) return false;
  for (const [index, level] of filter.entries()) {
    if (level === '#') return true;
    if (index >= topic.length || (level !== '+' && level !== topic[index])) return false;
  }
  return filter.length === topic.length;
}

/** Whether there is a topic that both filters match. */
function overlaps(one: readonly string[], other: readonly string[]): boolean {
  if (one[0]?.startsWith('$') !== other[0]?.startsWith('$')) return false;
  for (let index = 0; ; index++) {
    const a = one[index];
    const b = other[index];
    if (a === '#' || b === '#') return true;
    if (a === undefined || b === undefined) return a === b;
    if (a !== b && a !== '+' && b !== '+') return false;
  }
}
