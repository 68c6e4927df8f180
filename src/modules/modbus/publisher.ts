// Poll results → telemetry messages, in weir's own shape or in that of Azure's Modbus module.
//
//   own    output `telemetry`, one message a poll:
//          {"device":"pump-1","ts":"2026-11-21T09:12:44.123Z","values":{"speed":{"v":12.5,"q":"good"}}}
//   Azure  output `modbusOutput`, every PublishInterval what has been read since (failed reads are absent):
//          {"PublishTimestamp":"2018-04-17 12:28:53","Content":[{"HwId":"…","Data":[{"CorrelationId":"…",
//            "SourceTimestamp":"2018-04-17 12:28:48","Values":[{"DisplayName":"…","Address":"40003","Value":"2785"}]}]}]}
//
// Times are UTC. Own messages hold only what the report rules let through; a poll with nothing new sends nothing.

import type { Clock, Timer } from '../../platform/clock.ts';
import type { OutgoingMessage } from '../contract.ts';
import type { AzureSettings } from './azure-schema.ts';
import type { Sample } from './decode.ts';
import type { PollResult } from './poller.ts';
import { Reporter } from './report.ts';
import type { Device } from './settings.ts';

export type Send = (output: string, message: OutgoingMessage) => void;

export interface Publisher {
  publish(result: PollResult): void;
  /** Sends what is still collected. */
  close(): void;
}

export class OwnPublisher implements Publisher {
  readonly #send: Send;
  readonly #clock: Clock;
  readonly #reporters = new Map<Device, Reporter>();

  constructor(send: Send, clock: Clock) {
    this.#send = send;
    this.#clock = clock;
  }

  publish({ device, samples, atMs }: PollResult): void {
    const reporter = this.#reporters.get(device) ?? new Reporter();
    this.#reporters.set(device, reporter);
    const selected = reporter.select(samples, this.#clock.monotonicMs());
    if (selected.length === 0) return;
    const values = Object.fromEntries(selected.map(([tag, sample]) => [tag.name, sample]));
    const body = JSON.stringify({ device: device.name, ts: new Date(atMs).toISOString(), values });
    this.#send('telemetry', { body, contentType: 'application/json', contentEncoding: 'utf-8' });
  }

  close(): void {
    this.#reporters.clear();
  }
}

interface AzureData {
  readonly CorrelationId: string;
  readonly SourceTimestamp: string;
  readonly Values: { readonly DisplayName: string; readonly Address: string; readonly Value: string }[];
}

/** Values collected for one message: 5,000 of about 50 bytes are within a message's limit. */
const collectedMax = 4000;

export class AzurePublisher implements Publisher {
  readonly #send: Send;
  readonly #clock: Clock;
  readonly #azure: AzureSettings;
  readonly #content = new Map<string, AzureData[]>();
  #collected = 0;
  #timer: Timer | undefined;

  constructor(send: Send, clock: Clock, azure: AzureSettings) {
    this.#send = send;
    this.#clock = clock;
    this.#azure = azure;
  }

  publish({ group, samples, atMs }: PollResult): void {
    const operation = this.#azure.operations.get(group);
    const good = samples.filter(([, sample]) => sample.q === 'good');
    if (operation === undefined || good.length === 0) return;
    const { hwId, displayName, correlationId } = operation;
    const stamp = timestamp(atMs);
    const content = this.#content.get(hwId) ?? [];
    this.#content.set(hwId, content);
    let data = content.find(
      ({ CorrelationId, SourceTimestamp }) => CorrelationId === correlationId && SourceTimestamp === stamp,
    );
    if (data === undefined) {
      data = { CorrelationId: correlationId, SourceTimestamp: stamp, Values: [] };
      content.push(data);
    }
    for (const [tag, sample] of good)
      data.Values.push({ DisplayName: displayName, Address: tag.name, Value: textOf(sample) });
    this.#collected += good.length;
    if (this.#collected >= collectedMax) this.#flush();
    else this.#timer ??= this.#clock.setTimer(this.#azure.publishMs, () => this.#flush());
  }

  close(): void {
    this.#flush();
  }

  #flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#collected === 0) return;
    const content = [...this.#content].map(([HwId, Data]) => ({ HwId, Data }));
    const body = JSON.stringify({ PublishTimestamp: timestamp(this.#clock.wallMs()), Content: content });
    this.#content.clear();
    this.#collected = 0;
    this.#send('modbusOutput', { body, properties: { 'content-type': 'application/edge-modbus-json' } });
  }
}

/** `2018-04-17 12:28:53`, UTC. */
function timestamp(wallMs: number): string {
  return new Date(wallMs).toISOString().slice(0, 'yyyy-mm-dd hh:mm:ss'.length).replace('T', ' ');
}

function textOf({ v }: Sample): string {
  return typeof v === 'boolean' ? String(Number(v)) : String(v);
}
