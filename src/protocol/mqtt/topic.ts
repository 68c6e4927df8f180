// Topic names and topic filters: what is valid, and which filter matches which name (MQTT 3.1.1 §4.7).
//
//   name    sport/tennis/player1      no wildcards; levels may be empty; case-sensitive
//   filter  sport/+/player1, sport/#  `+` is one whole level, `#` the last level and all below, parent included
//
// A name that starts with `$` is never matched by a filter that starts with a wildcard [MQTT-4.7.2-1].
// Strings that cannot be sent (U+0000, lone surrogates, over 65,535 bytes) are invalid in both forms.

import { Buffer } from 'node:buffer';
import { mqttStringBytesMax, topicLevelsMax } from '../../limits.ts';
import type { MqttVersion } from './frame.ts';

/** A topic one can publish to: [MQTT-3.3.2-2], [MQTT-4.7.3-1..3], at most topicLevelsMax levels. */
export function isValidTopicName(topic: string): boolean {
  return isSendable(topic) && !topic.includes('+') && !topic.includes('#');
}

/** How the filter of a shared subscription begins (MQTT 5 §4.8.2). */
export const sharePrefix = '$share/';

/**
 * A filter one can subscribe to: [MQTT-4.7.1-2] and [MQTT-4.7.1-3] place the wildcards. In MQTT 5 one that begins
 * with `$share/` must name a share and hold a filter [MQTT-4.8.2-1, -2].
 */
export function isValidTopicFilter(filter: string, version: MqttVersion = 4): boolean {
  if (!isSendable(filter)) return false;
  if (version < 5 || !filter.startsWith(sharePrefix)) return areWildcardsPlaced(filter);
  const shared = parseShare(filter);
  return shared !== undefined && areWildcardsPlaced(shared.filter);
}

/** The parts of `$share/{share}/{filter}`; undefined for any other filter, and for one without a share name or filter. */
export function parseShare(filter: string): { readonly share: string; readonly filter: string } | undefined {
  if (!filter.startsWith(sharePrefix)) return undefined;
  const shareEnd = filter.indexOf('/', sharePrefix.length);
  const share = filter.slice(sharePrefix.length, shareEnd);
  if (shareEnd <= sharePrefix.length || shareEnd === filter.length - 1 || /[+#]/.test(share)) return undefined;
  return { share, filter: filter.slice(shareEnd + 1) };
}

function areWildcardsPlaced(filter: string): boolean {
  const levels = filter.split('/');
  return levels.every((level, index) => {
    if (level.includes('#')) return level === '#' && index === levels.length - 1;
    return !level.includes('+') || level === '+';
  });
}

/** Whether the valid `filter` matches the valid name `topic`. */
export function topicMatches(filter: string, topic: string): boolean {
  const filterLevels = filter.split('/');
  const topicLevels = topic.split('/');
  if (topic.startsWith('$') && (filterLevels[0] === '+' || filterLevels[0] === '#')) return false;
  for (const [index, level] of filterLevels.entries()) {
    if (level === '#') return true;
    if (index >= topicLevels.length) return false;
    if (level !== '+' && level !== topicLevels[index]) return false;
  }
  return filterLevels.length === topicLevels.length;
}

/** True when `text` can be an MQTT string: well-formed Unicode, no U+0000, fits its two-byte length [MQTT-1.5.3-1, -2]. */
export function isMqttString(text: string): boolean {
  return !text.includes('\u0000') && isWellFormed(text) && Buffer.byteLength(text) <= mqttStringBytesMax;
}

function isSendable(topic: string): boolean {
  return topic.length > 0 && isMqttString(topic) && levelCount(topic) <= topicLevelsMax;
}

function levelCount(topic: string): number {
  let count = 1;
  for (let at = topic.indexOf('/'); at !== -1; at = topic.indexOf('/', at + 1)) count++;
  return count;
}

const loneSurrogate = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

function isWellFormed(text: string): boolean {
  return !loneSurrogate.test(text);
}
