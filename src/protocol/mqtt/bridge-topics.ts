// Which topics a bridge links, and how they are called on either side. Pure.
//
//   { direction: "out", topic: "sensors/#", inPrefix: "hall1/", outPrefix: "site/a/" }
//        here  hall1/sensors/t1   ──out──►   site/a/sensors/t1  there
//   in takes what is there to here, both does both. A prefix and the topic are put together as they stand.
//
// Nothing of IoT Hub's topics and nothing that begins with $ is taken out or let in here: those belong to this
// gateway. Where rules overlap, a message goes once to each name that they give it.

import { isIotHubTopic } from '../iothub/topics.ts';
import { isValidTopicFilter, isValidTopicName, sharePrefix, topicMatches } from './topic.ts';

export const bridgeDirections = ['in', 'out', 'both'] as const;

export interface TopicRule {
  readonly direction: (typeof bridgeDirections)[number];
  /** A topic filter behind the prefixes; empty when the prefixes are whole topics. */
  readonly topic: string;
  /** Before it on this broker. */
  readonly inPrefix: string;
  /** Before it on the other one. */
  readonly outPrefix: string;
}

export function localFilter({ inPrefix, topic }: TopicRule): string {
  return inPrefix + topic;
}

export function remoteFilter({ outPrefix, topic }: TopicRule): string {
  return outPrefix + topic;
}

/** What the other broker is asked for; each filter once. */
export function remoteFilters(rules: readonly TopicRule[]): readonly string[] {
  return [...new Set(rules.filter(isIn).map(remoteFilter))];
}

/** Names that a message of this broker has on the other one; empty: it stays here. */
export function remoteTopics(rules: readonly TopicRule[], topic: string): readonly string[] {
  if (isOwn(topic)) return [];
  const found = new Set<string>();
  for (const rule of rules) {
    // `hall/#` matches `hall`, too, which has no name behind the prefix `hall/`.
    if (!isOut(rule) || !topic.startsWith(rule.inPrefix) || !topicMatches(localFilter(rule), topic)) continue;
    const name = rule.outPrefix + topic.slice(rule.inPrefix.length);
    if (isValidTopicName(name)) found.add(name);
  }
  return [...found];
}

/** Names that a message of the other broker has here; empty: it has none. */
export function localTopics(rules: readonly TopicRule[], topic: string): readonly string[] {
  const found = new Set<string>();
  for (const rule of rules) {
    if (!isIn(rule) || !topic.startsWith(rule.outPrefix) || !topicMatches(remoteFilter(rule), topic)) continue;
    const name = rule.inPrefix + topic.slice(rule.outPrefix.length);
    if (isValidTopicName(name) && !isOwn(name)) found.add(name);
  }
  return [...found];
}

/** Whether some message could go out and come back at once, where the other broker knows no `no local`. */
export function mayEcho(rules: readonly TopicRule[]): boolean {
  return rules.some(
    (out) => isOut(out) && rules.some((back) => isIn(back) && overlaps(remoteFilter(out), remoteFilter(back))),
  );
}

/** Whether a filter of this side asks for something that belongs to this gateway. */
export function isOwn(topicOrFilter: string): boolean {
  return topicOrFilter.startsWith('$') || isIotHubTopic(topicOrFilter);
}

function isIn({ direction }: TopicRule): boolean {
  return direction !== 'out';
}

function isOut({ direction }: TopicRule): boolean {
  return direction !== 'in';
}

/** Whether there is a topic that both filters match. */
function overlaps(one: string, other: string): boolean {
  const [left, right] = [one.split('/'), other.split('/')];
  for (let index = 0; ; index++) {
    const a = left[index];
    const b = right[index];
    if (a === '#' || b === '#') return true;
    if (a === undefined || b === undefined) return a === b;
    if (a !== b && a !== '+' && b !== '+') return false;
  }
}

/** What is wrong with a rule, by its member in the words of the twin; empty: nothing. */
export function topicRuleProblems(rule: TopicRule): readonly { readonly member: string; readonly message: string }[] {
  const found: { member: string; message: string }[] = [];
  for (const [member, prefix] of [
    ['inPrefix', rule.inPrefix],
    ['outPrefix', rule.outPrefix],
  ] as const) {
    if (/[+#]/.test(prefix))
      found.push({ member, message: `${shown(prefix)} holds a wildcard: a prefix is plain text.` });
  }
  if (found.length > 0) return found;
  const rest = '+ stands for one whole level, # for the last one and all below.';
  for (const filter of new Set([localFilter(rule), remoteFilter(rule)])) {
    if (!isValidTopicFilter(filter) || filter.startsWith(sharePrefix))
      found.push({ member: 'topic', message: `${shown(filter)} (prefix and topic) is no topic filter: ${rest}` });
  }
  if (isOwn(localFilter(rule)))
    found.push({
      member: 'topic',
      message: `${shown(localFilter(rule))} belongs to this gateway: topics that begin with $ or devices/ are not bridged.`,
    });
  return found;
}

const shownCharactersMax = 60;

function shown(text: string): string {
  return text.length <= shownCharactersMax ? `"${text}"` : `"${text.slice(0, shownCharactersMax)}…"`;
}
