// `mqttBroker.bridges` of `$edgeHub`'s desired properties, as IoT Edge 1.2 wrote it.
//
//   [ { "endpoint": "$upstream",
//       "settings": [ { "direction": "in", "topic": "alerts/#" },
//                     { "direction": "out", "topic": "#", "inPrefix": "local/", "outPrefix": "remote/" } ] } ]
//
// `endpoint` is `$upstream`, or (weir's own addition) the name of another broker in config.toml: where it is and how
// this gateway proves itself there never stands in a twin. A document is taken whole, or refused with every mistake
// and its path.

import { bridgeRulesMax, problemsMax } from '../limits.ts';
import { isJsonObject, type JsonValue } from '../model/json.ts';
import type { Problem } from '../model/problem.ts';
import { bridgeDirections, type TopicRule, topicRuleProblems } from '../protocol/mqtt/bridge-topics.ts';

export interface ParsedBridges {
  /** By name of the other broker. */
  readonly rules: ReadonlyMap<string, readonly TopicRule[]>;
  /** Not empty: nothing of it may be put in force. At most problemsMax. */
  readonly problems: readonly Problem[];
}

const bridgeMembers = ['endpoint', 'settings'];
const ruleMembers = ['direction', 'topic', 'inPrefix', 'outPrefix'];
const shownCharactersMax = 60;

/** Reads the document at `path`; `known` are the brokers this gateway can reach. Never throws, in bounded work. */
export function parseBridges(document: JsonValue, path: string, known: readonly string[]): ParsedBridges {
  const rules = new Map<string, TopicRule[]>();
  const problems: Problem[] = [];
  const problem = (at: string, message: string): void => {
    if (problems.length < problemsMax) problems.push({ path: at, message });
  };
  if (!Array.isArray(document)) {
    problem(path, 'a list of bridges is expected: [{ "endpoint": "$upstream", "settings": […] }].');
    return { rules, problems };
  }
  let count = 0;
  for (const [index, bridge] of document.entries()) {
    const at = `${path}[${index}]`;
    if (++count > bridgeRulesMax) break;
    if (!isJsonObject(bridge)) {
      problem(at, 'a bridge is an object with endpoint and settings.');
      continue;
    }
    complainOfUnknown(Object.keys(bridge), { at, known: bridgeMembers, problem });
    const endpoint = readEndpoint(bridge['endpoint'], { at: `${at}.endpoint`, known, problem });
    const { settings } = bridge;
    if (!Array.isArray(settings) || settings.length === 0) {
      problem(`${at}.settings`, 'a list of topics is expected: [{ "direction": "out", "topic": "sensors/#" }].');
      continue;
    }
    for (const [number, setting] of settings.entries()) {
      if (++count > bridgeRulesMax) break;
      const rule = readRule(setting, `${at}.settings[${number}]`, problem);
      if (rule === undefined || endpoint === undefined) continue;
      const of = rules.get(endpoint);
      if (of === undefined) rules.set(endpoint, [rule]);
      else of.push(rule);
    }
  }
  if (count > bridgeRulesMax) problem(path, `at most ${bridgeRulesMax} bridges and topics are taken: use wildcards.`);
  return { rules, problems };
}

type Complain = (at: string, message: string) => void;

function readEndpoint(
  value: JsonValue | undefined,
  { at, known, problem }: { readonly at: string; readonly known: readonly string[]; readonly problem: Complain },
): string | undefined {
  if (typeof value === 'string' && known.includes(value)) return value;
  const mend =
    value === '$upstream'
      ? 'this gateway has no MQTT broker as its upstream: name one in [upstream.mqtt] of config.toml.'
      : `there is no broker ${shown(value)} in config.toml. There are: ${known.length === 0 ? 'none' : known.join(', ')}.`;
  problem(at, mend);
  return undefined;
}

function readRule(value: JsonValue, at: string, problem: Complain): TopicRule | undefined {
  if (!isJsonObject(value)) {
    problem(at, 'a topic is an object with direction and topic, and with inPrefix and outPrefix when it has them.');
    return undefined;
  }
  complainOfUnknown(Object.keys(value), { at, known: ruleMembers, problem });
  const direction = bridgeDirections.find((name) => name === value['direction']);
  if (direction === undefined)
    problem(
      `${at}.direction`,
      `${shown(value['direction'])} is no direction. There are: ${bridgeDirections.join(', ')}.`,
    );
  const texts = ['topic', 'inPrefix', 'outPrefix'].map((member) => {
    const text = value[member] ?? '';
    if (typeof text === 'string') return text;
    problem(`${at}.${member}`, `${shown(text)} is not a text.`);
    return undefined;
  });
  const [topic, inPrefix, outPrefix] = texts;
  if (direction === undefined || topic === undefined || inPrefix === undefined || outPrefix === undefined)
    return undefined;
  const rule = { direction, topic, inPrefix, outPrefix };
  const found = topicRuleProblems(rule);
  for (const { member, message } of found) problem(`${at}.${member}`, message);
  return found.length === 0 ? rule : undefined;
}

function complainOfUnknown(
  names: readonly string[],
  { at, known, problem }: { readonly at: string; readonly known: readonly string[]; readonly problem: Complain },
): void {
  for (const name of names) {
    if (!known.includes(name))
      problem(`${at}.${name.slice(0, shownCharactersMax)}`, `unknown member. There are: ${known.join(', ')}.`);
  }
}

function shown(value: JsonValue | undefined): string {
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'a list' : 'an object';
  const text = JSON.stringify(value ?? null);
  return text.length <= shownCharactersMax ? text : `${text.slice(0, shownCharactersMax)}…`;
}
