// [bridges.NAME] and [upstream.mqtt] of config.toml: other MQTT brokers, how this gateway comes in there, and the
// topics that are shared with them.
//
//   [bridges.plant]
//   url = "mqtts://broker.plant.example:8883"
//   username = "gateway-1"
//   password = { uri = "file:///etc/weir/plant.password" }
//   topics = [ { direction = "out", topic = "sensors/#", out_prefix = "site-a/" } ]
//
// [upstream.mqtt] is the one that stands for `$upstream`; with a `topic` it gets what routes send there.

import { bridgeRulesMax, bridgesMax, configTimeToLiveSecsMax } from '../limits.ts';
import type { Disk } from '../platform/disk.ts';
import { templateProblem } from '../protocol/iothub/telemetry-template.ts';
import { bridgeDirections, type TopicRule, topicRuleProblems } from '../protocol/mqtt/bridge-topics.ts';
import { isHostname, readSecret } from './provisioning.ts';
import { isTable, type SettingsReader } from './reader.ts';

/** Another MQTT broker. Paths are of PEM files. */
export interface RemoteBrokerConfig {
  /** `$upstream` for [upstream.mqtt]. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
  readonly ca: string | undefined;
  readonly certificate: string | undefined;
  readonly privateKey: string | undefined;
  readonly username: string | undefined;
  /** A secret: see redactedConfig. */
  readonly password: string | undefined;
  /** Undefined: made of the gateway's name and the bridge's. */
  readonly clientId: string | undefined;
  /** Undefined: whichever it understands. */
  readonly version: 4 | 5 | undefined;
  /** How long messages wait for it; undefined: as long as there is room. */
  readonly timeToLiveMs: number | undefined;
  /** Of `$upstream` alone: how telemetry is called there. */
  readonly telemetryTopic: string | undefined;
  readonly topics: readonly TopicRule[];
}

export const upstreamBrokerName = '$upstream';
export const brokerNamePattern = /^[A-Za-z0-9_-]{1,32}$/;
const urlPattern = /^(mqtts?):\/\/(\[[0-9A-Fa-f:.]+\]|[^:/?#@[\]]+)(?::(\d{1,5}))?\/?$/;
const plainPort = 1883;
const tlsPort = 8883;
const portMax = 65_535;
const msPerSecond = 1000;
const clientIdCharactersMax = 256;
const ruleMembers: Readonly<Record<string, string>> = {
  direction: 'direction',
  topic: 'topic',
  in_prefix: 'inPrefix',
  out_prefix: 'outPrefix',
};

export async function readBridges(reader: SettingsReader, disk: Disk): Promise<readonly RemoteBrokerConfig[]> {
  const table = reader.value('bridges');
  if (!isTable(table)) return [];
  const found: RemoteBrokerConfig[] = [];
  for (const name of Object.keys(table)) {
    const key = `bridges.${name}`;
    if (!brokerNamePattern.test(name))
      reader.problem(key, 'this is no name of a bridge.', 'Allowed: 1 to 32 letters, digits, - and _.');
    else if (!isTable(table[name]))
      reader.problem(key, 'this is not a table.', `Write its keys below a line [${key}].`);
    else if (found.length >= bridgesMax)
      reader.problem(key, `there are more than ${bridgesMax} bridges.`, 'Let one broker stand for several topics.');
    else {
      const broker = await readBroker(reader, { key, name, disk });
      if (broker !== undefined) found.push(broker);
    }
  }
  return found;
}

export async function readUpstreamBroker(reader: SettingsReader, disk: Disk): Promise<RemoteBrokerConfig | undefined> {
  const key = 'upstream.mqtt';
  if (!isTable(reader.value(key))) return undefined;
  const telemetryTopic = reader.text(`${key}.topic`);
  const flaw = telemetryTopic === undefined ? undefined : templateProblem(telemetryTopic);
  if (flaw !== undefined) reader.problem(`${key}.topic`, `${flaw}.`);
  const broker = await readBroker(reader, { key, name: upstreamBrokerName, disk });
  return broker === undefined ? undefined : { ...broker, telemetryTopic };
}

async function readBroker(
  reader: SettingsReader,
  { key, name, disk }: { readonly key: string; readonly name: string; readonly disk: Disk },
): Promise<RemoteBrokerConfig | undefined> {
  const address = readUrl(reader, `${key}.url`);
  const username = reader.text(`${key}.username`);
  const password = await readSecret(reader, { key: `${key}.password`, disk });
  if (username === undefined && password !== undefined)
    reader.problem(`${key}.password`, 'a password without a user name.', `Write ${key}.username beside it.`);
  const files = readFiles(reader, key, address?.isTls === true);
  const topics = readTopics(reader, `${key}.topics`);
  const version = reader.choice(`${key}.version`, ['5', '3.1.1']);
  const clientId = reader.text(`${key}.client_id`, (text) => text.length <= clientIdCharactersMax && text !== '');
  const hasLife = reader.has(`${key}.time_to_live`);
  const range = { min: msPerSecond, max: configTimeToLiveSecsMax * msPerSecond, fallback: 0 };
  const timeToLiveMs = hasLife ? reader.durationMs(`${key}.time_to_live`, range) : undefined;
  if (address === undefined) return undefined;
  return {
    name,
    ...address,
    ...files,
    username,
    password,
    clientId,
    version: version === undefined ? undefined : version === '5' ? 5 : 4,
    timeToLiveMs,
    telemetryTopic: undefined,
    topics,
  };
}

function readUrl(reader: SettingsReader, key: string): Pick<RemoteBrokerConfig, 'host' | 'port' | 'isTls'> | undefined {
  if (!reader.has(key)) reader.problem(key, 'the address of the broker is missing.');
  const text = reader.text(key);
  if (text === undefined) return undefined;
  const [, scheme, host = '', port] = urlPattern.exec(text) ?? [];
  const isTls = scheme === 'mqtts';
  const number = port === undefined ? (isTls ? tlsPort : plainPort) : Number(port);
  if (scheme === undefined || !isHostname(host) || number < 1 || number > portMax) {
    reader.problem(key, `"${text}" is not an address of this kind.`);
    return undefined;
  }
  return { host: host.replace(/^\[|\]$/g, ''), port: number, isTls };
}

function readFiles(
  reader: SettingsReader,
  key: string,
  isTls: boolean,
): Pick<RemoteBrokerConfig, 'ca' | 'certificate' | 'privateKey'> {
  const names = ['ca', 'certificate', 'private_key'] as const;
  const [ca, certificate, privateKey] = names.map((name) => {
    const path = reader.fileUri(`${key}.${name}`);
    if (path !== undefined && !isTls)
      reader.problem(`${key}.${name}`, 'it is for TLS.', 'Write the address as mqtts://…, or remove this.');
    return path;
  });
  if ((certificate === undefined) !== (privateKey === undefined))
    reader.problem(`${key}.certificate`, 'a certificate and its private_key go together.', 'Write both, or none.');
  if (certificate !== undefined && ca === undefined)
    reader.problem(
      `${key}.certificate`,
      'with a certificate of its own the gateway trusts nobody by itself.',
      `Write ${key}.ca beside it.`,
    );
  return { ca, certificate, privateKey };
}

function readTopics(reader: SettingsReader, key: string): readonly TopicRule[] {
  const value = reader.value(key);
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length > bridgeRulesMax) {
    reader.problem(key, Array.isArray(value) ? `there are more than ${bridgeRulesMax}.` : 'this is not a list.');
    return [];
  }
  const rules: TopicRule[] = [];
  for (const [index, item] of value.entries()) {
    const problem = (message: string): void => reader.problem(key, `topic ${index + 1}: ${message}`);
    const rule = isTable(item) ? ruleOf(item, problem) : undefined;
    if (!isTable(item)) problem('a table is expected.');
    if (rule === undefined) continue;
    const flaws = topicRuleProblems(rule);
    for (const { member, message } of flaws) {
      const spelled = Object.entries(ruleMembers).find(([, twin]) => twin === member)?.[0] ?? member;
      problem(`${spelled}: ${message}`);
    }
    if (flaws.length === 0) rules.push(rule);
  }
  return rules;
}

function ruleOf(item: Readonly<Record<string, unknown>>, problem: (message: string) => void): TopicRule | undefined {
  for (const name of Object.keys(item)) {
    if (!Object.hasOwn(ruleMembers, name))
      problem(`there is no key ${name}; there are ${Object.keys(ruleMembers).join(', ')}.`);
  }
  const direction = bridgeDirections.find((name) => name === item['direction']);
  if (direction === undefined) problem(`direction is one of ${bridgeDirections.join(', ')}.`);
  const texts = ['topic', 'in_prefix', 'out_prefix'].map((name) => {
    const text = item[name] ?? '';
    if (typeof text !== 'string') problem(`${name} is not a text.`);
    return typeof text === 'string' ? text : undefined;
  });
  const [topic, inPrefix, outPrefix] = texts;
  if (direction === undefined || topic === undefined || inPrefix === undefined || outPrefix === undefined)
    return undefined;
  return { direction, topic, inPrefix, outPrefix };
}
