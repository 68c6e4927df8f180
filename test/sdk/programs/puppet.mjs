// A program with Microsoft's device or module client, unmodified, that does what a test tells it over a socket.
//
// Environment
//   PUPPET_PORT         where the test listens, on 127.0.0.1
//   PUPPET_NAME         who this is to the test
//   PUPPET_TRANSPORT    mqtt or mqtt-ws
//   PUPPET_CONNECTION   a connection string; absent: a module, from the environment that its gateway gave it
//   PUPPET_CA           file with the authorities to trust, for a connection string
//
// In and out: JSON, one object a line. Commands carry `id` and are answered {"id", "ok", "value" | "error"}; what
// happens by itself is {"event": …}.

import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import sdk from 'azure-iot-device';
import transports from 'azure-iot-device-mqtt';

const { env } = process;
const transport = env.PUPPET_TRANSPORT === 'mqtt-ws' ? transports.MqttWs : transports.Mqtt;
const socket = connect(Number(env.PUPPET_PORT), '127.0.0.1');
const tell = (line) => socket.write(`${JSON.stringify(line)}\n`);
socket.on('error', () => process.exit(0));
socket.on('close', () => process.exit(0));
tell({ event: 'hello', name: env.PUPPET_NAME });

let client;
let twin;
const held = [];

async function create() {
  if (env.PUPPET_CONNECTION === undefined) return sdk.ModuleClient.fromEnvironment(transport);
  const made = sdk.Client.fromConnectionString(env.PUPPET_CONNECTION, transport);
  await made.setOptions({ ca: readFileSync(env.PUPPET_CA, 'utf8') });
  return made;
}

function described(message) {
  const properties = {};
  for (let index = 0; index < message.properties.count(); index += 1) {
    const { key, value } = message.properties.getItem(index);
    properties[key] = value;
  }
  const { messageId, correlationId, userId, contentType, contentEncoding, expiryTimeUtc, to, ack } = message;
  return {
    body: message.getData().toString('utf8'),
    properties,
    system: { messageId, correlationId, userId, contentType, contentEncoding, expiryTimeUtc, to, ack },
  };
}

function made(body, system = {}, properties = {}) {
  const message = Object.assign(new sdk.Message(body), system);
  for (const [name, value] of Object.entries(properties)) message.properties.add(name, value);
  return message;
}

function listen(settle) {
  client.on('message', (message) => {
    tell({ event: 'message', ...described(message) });
    held.push(message);
    if (settle === undefined) return;
    Promise.resolve()
      .then(() => client[settle](message))
      .then(() => tell({ event: 'settled' }))
      .catch((error) => tell({ event: 'not-settled', name: error.name, message: error.message }));
  });
}

const commands = {
  /** With `settle` it listens for messages from the first moment: those of a session that waited come with CONNACK. */
  async open({ settle }) {
    client = await create();
    if (settle !== undefined) listen(settle);
    client.on('error', (error) => tell({ event: 'error', message: String(error) }));
    client.on('disconnect', () => tell({ event: 'disconnect' }));
    await client.open();
  },
  /** Answers the method with what it was called with, or never. */
  async onMethod({ name, status, silent }) {
    const handler = (request, response) => {
      tell({ event: 'method', name: request.methodName, payload: request.payload });
      if (silent !== true) response.send(status ?? 200, { echo: request.payload ?? null });
    };
    if (env.PUPPET_CONNECTION === undefined) client.onMethod(name, handler);
    else client.onDeviceMethod(name, handler);
  },
  /** `settle`: complete, reject, abandon, or hold (the client acknowledges at once; held ones are counted only). */
  async onMessage({ settle }) {
    listen(settle);
  },
  /** With every property that the client can send; of a module with an output by that one. */
  async send({ body, system, properties, output }) {
    const message = made(body, system, properties);
    await (output === undefined ? client.sendEvent(message) : client.sendOutputEvent(output, message));
  },
  async sendBatch({ bodies }) {
    await client.sendEventBatch(bodies.map((body) => made(body)));
  },
  async onInput() {
    client.on('inputMessage', (input, message) => {
      tell({ event: 'input', input, ...described(message) });
      client.complete(message);
    });
  },
  async invoke({ device, module, params }) {
    return module === undefined ? client.invokeMethod(device, params) : client.invokeMethod(device, module, params);
  },
  async twin() {
    twin = await client.getTwin();
    return twin.properties;
  },
  /** Each change is told as the client tells it; the client begins with what is there. */
  async onDesired() {
    twin.on('properties.desired', (patch) => tell({ event: 'desired', patch }));
  },
  /** What the client believes to be desired. */
  async desired() {
    return twin.properties.desired;
  },
  async report({ patch }) {
    await new Promise((resolve, reject) => {
      twin.properties.reported.update(patch, (error) => (error ? reject(error) : resolve()));
    });
  },
  async close() {
    await client.close();
  },
};

createInterface({ input: socket }).on('line', (line) => {
  const { id, do: name, ...parameters } = JSON.parse(line);
  commands[name](parameters).then(
    (value) => tell({ id, ok: true, value }),
    (error) => tell({ id, ok: false, error: { name: error.name, message: error.message, body: error.responseBody } }),
  );
});
