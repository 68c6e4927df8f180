// What the simulated sensor may be told: by environment variables at the start, by desired properties any time.
//
// Names, defaults and units are those of Azure's SimulatedTemperatureSensor: MessageDelay is a .NET TimeSpan
// (`hh:mm:ss`, `d.hh:mm:ss`, or a bare number of days), SendInterval is seconds. A wrong environment value falls
// back to its default and is named, so that the quickstart still runs; a wrong desired value changes nothing.

import { modbusPollMsMax } from '../../limits.ts';
import type { JsonObject } from '../../model/json.ts';
import type { ConfigProblem } from '../contract.ts';
import { defaultParameters, type MachineParameters } from './machine.ts';

export interface SensorStart {
  /** Messages to send in all; negative means endless. */
  readonly messageCount: number;
  readonly delayMs: number;
  readonly machine: MachineParameters;
  readonly problems: readonly ConfigProblem[];
}

export interface SensorDesired {
  readonly sendData: boolean | undefined;
  readonly sendIntervalMs: number | undefined;
  readonly problems: readonly ConfigProblem[];
}

const defaultMessageCount = 500;
const defaultDelayMs = 5000;
const msPerSecond = 1000;
const secondsPerMinute = 60;
const minutesPerHour = 60;
const hoursPerDay = 24;
const intervalMsMax = modbusPollMsMax;

export function readStart(env: Readonly<Record<string, string | undefined>>): SensorStart {
  const problems: ConfigProblem[] = [];
  const read = (name: string, parse: (text: string) => number | undefined, fallback: number): number => {
    const text = env[name];
    const value = text === undefined || text === '' ? fallback : parse(text);
    if (value === undefined)
      problems.push({ path: name, message: `is '${text}', which cannot be read; ${fallback} is used` });
    return value ?? fallback;
  };
  const names = Object.keys(defaultParameters) as (keyof MachineParameters)[];
  const machine = Object.fromEntries(
    names.map((name) => [name, read(name, numberOf, defaultParameters[name])]),
  ) as unknown as MachineParameters;
  return {
    messageCount: read('MessageCount', integerOf, defaultMessageCount),
    delayMs: read('MessageDelay', parseTimeSpan, defaultDelayMs),
    machine,
    problems,
  };
}

export function readDesired(desired: JsonObject): SensorDesired {
  const problems: ConfigProblem[] = [];
  const sendData = desired['SendData'];
  const interval = desired['SendInterval'];
  if (sendData !== undefined && typeof sendData !== 'boolean') {
    problems.push({ path: '/SendData', message: `is ${JSON.stringify(sendData)}; give true or false` });
  }
  const isInterval = typeof interval === 'number' && interval > 0 && interval * msPerSecond <= intervalMsMax;
  if (interval !== undefined && !isInterval) {
    problems.push({
      path: '/SendInterval',
      message: `is ${JSON.stringify(interval)}; give seconds, more than 0 and at most a day`,
    });
  }
  return {
    sendData: typeof sendData === 'boolean' ? sendData : undefined,
    sendIntervalMs: isInterval ? interval * msPerSecond : undefined,
    problems,
  };
}

/** .NET's TimeSpan text in milliseconds; undefined when it is none. */
export function parseTimeSpan(text: string): number | undefined {
  const [, days, hours, minutes, seconds = '0'] =
    /^(?:(\d+)\.)?(\d{1,2}):(\d{1,2})(?::(\d{1,2}(?:\.\d{1,7})?))?$/.exec(text.trim()) ?? [];
  if (hours === undefined || minutes === undefined) return /^\d+$/.test(text.trim()) ? daysMs(Number(text)) : undefined;
  if (Number(hours) >= hoursPerDay || Number(minutes) >= minutesPerHour || Number(seconds) >= secondsPerMinute)
    return undefined;
  const wholeMinutes = Number(hours) * minutesPerHour + Number(minutes);
  return daysMs(Number(days ?? 0)) + Math.round((wholeMinutes * secondsPerMinute + Number(seconds)) * msPerSecond);
}

function daysMs(days: number): number {
  return days * hoursPerDay * minutesPerHour * secondsPerMinute * msPerSecond;
}

function numberOf(text: string): number | undefined {
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}

function integerOf(text: string): number | undefined {
  const value = Number(text);
  return Number.isInteger(value) ? value : undefined;
}
