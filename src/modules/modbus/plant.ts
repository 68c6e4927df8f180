// The configuration in force: its buses at work, and the change to the next one.
//
// apply() is called with whole desired sections, in any rhythm; only the newest counts. A section with a mistake
// changes nothing and is reported. Changing means: end the old pollers (each after its transaction), start new
// ones. Reported properties: `configStatus`, and `devices: {name: {state, reason}}` whenever one changes.

import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../../model/json.ts';
import { jsonEqual } from '../../model/twin.ts';
import type { ConfigProblem, IncomingMessage, ModuleContext } from '../contract.ts';
import { ModuleRequestError } from '../errors.ts';
import { TagAccess } from './access.ts';
import { type AzureSettings, isAzureSchema, parseAzureAddress, parseAzureSchema } from './azure-schema.ts';
import { Line } from './line.ts';
import { Poller } from './poller.ts';
import { AzurePublisher, OwnPublisher, type Publisher, type Send } from './publisher.ts';
import { parseRegisterMap } from './register-map.ts';
import type { Device, Settings } from './settings.ts';

interface InForce {
  readonly settings: Settings;
  readonly azure: AzureSettings | undefined;
  readonly pollers: ReadonlyMap<string, Poller>;
  readonly publisher: Publisher;
}

type Parsed =
  | { readonly ok: true; readonly settings: Settings; readonly azure: AzureSettings | undefined }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

const statusBadRequest = 400;
const statusNotFound = 404;
const wordMax = 0xffff;

export class Plant {
  readonly #context: ModuleContext;
  #inForce: InForce | undefined;
  #desired: JsonObject | undefined;
  #next: JsonObject | undefined;
  #changing: Promise<void> | undefined;
  #isClosing = false;

  constructor(context: ModuleContext) {
    this.#context = context;
  }

  get access(): TagAccess {
    const devices = this.#inForce?.settings.devices ?? [];
    return new TagAccess(devices, (device, work) => this.#poller(device.bus).withLine(work));
  }

  apply(desired: JsonObject): void {
    this.#next = desired;
    this.#changing ??= this.#change().finally(() => {
      this.#changing = undefined;
    });
  }

  /** Resolves when the newest section is in force, or refused. */
  async settled(): Promise<void> {
    await this.#changing;
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#changing;
    await this.#stop();
  }

  /** The input `write`: the same request as the method; its refusal is logged by the host. */
  async writeFrom({ body }: IncomingMessage): Promise<void> {
    const { status, payload } = await this.access.write(jsonBody(body));
    this.#context.log.info('written from an input message', { status, answer: JSON.stringify(payload) });
  }

  /** The input `input1` of Azure's module: {"HwId", "UId", "Address", "Value"} with the property command-type=ModbusWrite. */
  async writeAzure({ body, properties }: IncomingMessage): Promise<void> {
    if (properties['command-type'] !== 'ModbusWrite') throw refused("The property command-type is not 'ModbusWrite'.");
    const payload = jsonBody(body);
    const command = isJsonObject(payload) ? payload : {};
    const bus = this.#inForce?.azure?.busByHwId.get(String(command['HwId']));
    const at = parseAzureAddress(String(command['Address']));
    const value = Number(command['Value']);
    const unit = Number(command['UId']);
    if (bus === undefined)
      throw new ModuleRequestError({
        status: statusNotFound,
        message: `No slave has the HwId ${String(command['HwId'])}.`,
      });
    if (at === undefined || (at.table !== 'coil' && at.table !== 'holding'))
      throw refused('Address is not one of a coil or a holding register.');
    if (!Number.isInteger(value) || value < 0 || value > wordMax || !Number.isInteger(unit))
      throw refused('UId or Value is no whole number in range.');
    const { table, offset } = at;
    await this.#poller(bus).withLine((line) => line.write({ unit, table, offset, words: [value] }));
  }

  async #change(): Promise<void> {
    while (this.#next !== undefined && !this.#isClosing) {
      const desired = this.#next;
      this.#next = undefined;
      if (this.#desired !== undefined && jsonEqual(desired, this.#desired)) continue;
      const parsed = parse(desired);
      this.#context.reportConfig(parsed.ok ? [] : parsed.problems);
      if (!parsed.ok) continue;
      await this.#stop();
      this.#desired = desired;
      this.#start(parsed.settings, parsed.azure);
    }
  }

  #start(settings: Settings, azure: AzureSettings | undefined): void {
    const { log, clock, network, serial } = this.#context;
    const send: Send = (output, message) => void this.#context.send(output, message);
    const publisher = azure === undefined ? new OwnPublisher(send, clock) : new AzurePublisher(send, clock, azure);
    const pollers = new Map<string, Poller>();
    for (const bus of settings.buses) {
      const line = new Line(bus, { network, serial, clock });
      const devices = settings.devices.filter((device) => device.bus === bus.name);
      const poller = new Poller(bus, devices, {
        line,
        clock,
        log: log.child(bus.name),
        onResult: (result) => publisher.publish(result),
        onDevice: (device, state, reason) => this.#reportDevice(device, state, reason),
      });
      pollers.set(bus.name, poller);
      poller.start();
    }
    this.#inForce = { settings, azure, pollers, publisher };
    log.info('configuration in force', { buses: settings.buses.length, devices: settings.devices.length });
  }

  async #stop(): Promise<void> {
    const inForce = this.#inForce;
    if (inForce === undefined) return;
    this.#inForce = undefined;
    await Promise.all([...inForce.pollers.values()].map((poller) => poller.close()));
    inForce.publisher.close();
    const gone = Object.fromEntries(inForce.settings.devices.map(({ name }) => [name, null]));
    if (!this.#isClosing) this.#context.reportProperties({ devices: gone });
  }

  #reportDevice(device: Device, state: 'up' | 'down', reason: string | undefined): void {
    this.#context.reportProperties({ devices: { [device.name]: { state, reason: reason ?? null } } });
  }

  #poller(bus: string): Poller {
    const poller = this.#inForce?.pollers.get(bus);
    if (poller !== undefined) return poller;
    throw new ModuleRequestError({ status: statusNotFound, message: `The bus '${bus}' is not in force any more.` });
  }
}

function parse(desired: JsonObject): Parsed {
  if (!isAzureSchema(desired)) {
    const parsed = parseRegisterMap(desired);
    return parsed.ok ? { ...parsed, azure: undefined } : parsed;
  }
  const azure = parseAzureSchema(desired);
  return azure.ok ? { ok: true, settings: azure.settings, azure } : azure;
}

function jsonBody(body: Buffer): JsonValue {
  const parsed = parseJson(body.toString('utf8'));
  if (parsed.ok) return parsed.value;
  throw refused(`The body is no JSON: ${parsed.reason}.`);
}

function refused(message: string): ModuleRequestError {
  return new ModuleRequestError({ status: statusBadRequest, message });
}
