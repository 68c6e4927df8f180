// The built-in module `simulated-temperature-sensor`: what Azure's quickstart deploys, with its payload and controls.
//
//   output temperatureOutput   {"machine":{"temperature","pressure"},"ambient":{"temperature","humidity"},"timeCreated"}
//   application properties     sequenceNumber, batchId (the host adds both to every message)
//   desired SendData (true), SendInterval (seconds); both are reported after each change
//   method reset; input control {"command":"reset"} or a list of such; the original's number 0 means reset too
//   environment MessageCount (500; negative: endless), MessageDelay (hh:mm:ss, default 00:00:05), machineTempMin …
//
// Like the original it waits for each message to be accepted, then for the delay: while the broker is away it
// produces nothing. After MessageCount messages it stays, idle.

import { isJsonObject, type JsonValue, parseJson } from '../../model/json.ts';
import { Alarm } from '../alarm.ts';
import { defineModule, type IncomingMessage, type ModuleContext, type RunningModule } from '../contract.ts';
import { Machine } from './machine.ts';
import { readDesired, readStart } from './settings.ts';

export const simulatedTemperatureSensor = defineModule({
  name: 'simulated-temperature-sensor',
  summary: "Sends the readings of a simulated machine, as Azure's quickstart module does.",
  async start(context: ModuleContext): Promise<RunningModule> {
    const sensor = new Sensor(context);
    sensor.start();
    context.ready();
    return sensor;
  },
});

const statusOk = 200;
const msPerSecond = 1000;
const resetCommand = 0;

class Sensor implements RunningModule {
  readonly #context: ModuleContext;
  readonly #alarm: Alarm;
  readonly #machine: Machine;
  readonly #messageCount: number;
  #delayMs: number;
  #isSending = true;
  #isClosing = false;
  #running: Promise<void> | undefined;

  constructor(context: ModuleContext) {
    const { messageCount, delayMs, machine, problems } = readStart(context.environment);
    for (const { path, message } of problems)
      context.log.warn('wrong environment variable', { variable: path, message });
    this.#context = context;
    this.#alarm = new Alarm(context.clock);
    this.#machine = new Machine(machine, context.entropy);
    this.#messageCount = messageCount;
    this.#delayMs = delayMs;
  }

  start(): void {
    this.#context.onDesired(() => this.#applyDesired());
    this.#context.onInput('control', (message) => this.#control(message));
    this.#context.onMethod('reset', () => {
      this.#machine.reset();
      return { status: statusOk, payload: null };
    });
    this.#applyDesired();
    this.#running ??= this.#run();
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    this.#alarm.wake();
    await this.#running;
  }

  async #run(): Promise<void> {
    const isEndless = this.#messageCount < 0;
    for (let count = 0; !this.#isClosing && (isEndless || count < this.#messageCount); ) {
      const reading = this.#machine.step();
      if (this.#isSending) {
        await this.#send({ ...reading, timeCreated: new Date(this.#context.clock.wallMs()).toISOString() });
        count += 1;
      }
      if (!this.#isClosing) await this.#alarm.sleep(this.#delayMs);
    }
    if (!this.#isClosing) this.#context.log.info('all messages sent', { messages: this.#messageCount });
  }

  /** Waits for the broker, but not beyond the end of the module: the host drains what is queued. */
  async #send(body: object): Promise<void> {
    const sent = this.#context.send('temperatureOutput', {
      body: JSON.stringify(body),
      contentType: 'application/json',
      contentEncoding: 'utf-8',
    });
    let isSettled = false;
    const settled = sent.then(() => {
      isSettled = true;
      this.#alarm.wake();
    });
    while (!isSettled && !this.#isClosing) await this.#alarm.sleep(msPerSecond);
    if (isSettled) await settled;
  }

  #applyDesired(): void {
    const { sendData, sendIntervalMs, problems } = readDesired(this.#context.desired());
    this.#context.reportConfig(problems);
    if (problems.length > 0) return;
    if (sendData !== undefined) this.#isSending = sendData;
    if (sendIntervalMs !== undefined) this.#delayMs = sendIntervalMs;
    this.#context.reportProperties({ SendData: this.#isSending, SendInterval: this.#delayMs / msPerSecond });
    this.#alarm.wake();
  }

  #control({ body }: IncomingMessage): void {
    const parsed = parseJson(body.toString('utf8'));
    const commands: readonly JsonValue[] = parsed.ok
      ? Array.isArray(parsed.value)
        ? (parsed.value as readonly JsonValue[])
        : [parsed.value]
      : [];
    const isReset = commands.some((command) => isJsonObject(command) && isResetCommand(command['command']));
    if (!isReset) {
      this.#context.log.warn('a control message without a known command', { body: body.toString('utf8') });
      return;
    }
    this.#context.log.info('reset by a control message');
    this.#machine.reset();
  }
}

function isResetCommand(command: JsonValue | undefined): boolean {
  return command === resetCommand || (typeof command === 'string' && command.toLowerCase() === 'reset');
}
