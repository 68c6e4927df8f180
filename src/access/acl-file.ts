// The ACL file in mosquitto's format: which topics a user may read and write.
//
//   # a comment
//   topic read public/#                 before the first `user`: for clients without a user name
//   user plc-1                          what follows is for this user alone
//   topic readwrite site/plc 1/#        a topic may hold spaces once the access is named
//   topic deny site/plc 1/secret        before what grants, wherever it stands
//   topic commands/plc-1                without access: readwrite
//   pattern write data/%u/%c/#          for everybody, whatever section it stands in; %u user name, %c client id
//
// A pattern with %u says nothing about clients without a user name.

import { accessRulesMax } from '../limits.ts';
import { isValidTopicFilter } from '../protocol/mqtt/topic.ts';
import type { FileProblem } from './errors.ts';
import { anonymousName } from './ports.ts';

export type TopicAccess = 'read' | 'write' | 'readwrite' | 'deny';

export interface TopicRule {
  readonly access: TopicAccess;
  /** A topic filter; of a pattern, before %u and %c are replaced. */
  readonly filter: string;
}

export interface AclRules {
  /** By user name; anonymousName for clients without one. */
  readonly users: ReadonlyMap<string, readonly TopicRule[]>;
  readonly patterns: readonly TopicRule[];
}

export interface AclFile extends AclRules {
  readonly problems: readonly FileProblem[];
}

const accessNames: readonly string[] = ['read', 'write', 'readwrite', 'deny'] satisfies readonly TopicAccess[];
const lineForms = 'A line is: topic, pattern or user, then what it is about.';

/** Never throws: what is wrong is in `problems`. */
export function parseAclFile(text: string): AclFile {
  const users = new Map<string, TopicRule[]>();
  const patterns: TopicRule[] = [];
  const problems: FileProblem[] = [];
  let section = anonymousName;
  let rules = 0;
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const [, word = '', rest = ''] = /^(\S+)\s*(.*)$/.exec(line) ?? [];
    const problem = (message: string, mend: string): void => void problems.push({ line: index + 1, message, mend });
    if (word === 'user') {
      if (rest === '' || rest === anonymousName) problem('there is no user name.', 'Write: user NAME');
      else section = rest;
    } else if (word !== 'topic' && word !== 'pattern') {
      problem(`'${word}' is not known here.`, lineForms);
    } else {
      const rule = readRule(rest, problem);
      if (rule === undefined) continue;
      rules++;
      if (rules === accessRulesMax + 1) problem(`there are more than ${accessRulesMax} rules.`, 'Use patterns.');
      else if (word === 'pattern') patterns.push(rule);
      else addTo(users, section, rule);
    }
  }
  return { users, patterns, problems };
}

/** `[read|write|readwrite|deny] topic`; a topic alone holds no spaces, so that a misspelled access is found. */
function readRule(text: string, problem: (message: string, mend: string) => void): TopicRule | undefined {
  if (text === '') {
    problem('the topic is missing.', 'Write: topic [read|write|readwrite|deny] TOPIC');
    return undefined;
  }
  const [, first = '', rest = ''] = /^(\S+)\s*(.*)$/.exec(text) ?? [];
  const isNamed = accessNames.includes(first);
  if (!isNamed && rest !== '') {
    problem(
      `'${first}' is not an access.`,
      'Allowed: read, write, readwrite, deny. A topic with spaces needs one of them before it.',
    );
    return undefined;
  }
  const filter = isNamed && rest !== '' ? rest : first;
  if (!isValidTopicFilter(filter)) {
    problem(`'${filter}' is no topic filter.`, '+ stands for one whole level, # for the last one and all below.');
    return undefined;
  }
  return { access: isNamed && rest !== '' ? (first as TopicAccess) : 'readwrite', filter };
}

function addTo(users: Map<string, TopicRule[]>, section: string, rule: TopicRule): void {
  const rules = users.get(section);
  if (rules === undefined) users.set(section, [rule]);
  else rules.push(rule);
}
