// A program with Microsoft's device clients, unmodified, as many as the test asks for: devices behind a gateway.
//
// Environment
//   PUPPET_PORT   where the test listens, on 127.0.0.1
//   PUPPET_NAME   who this is to the test
//
// In and out as in puppet.mjs; every command names its `client`, which `open` makes.

import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import sdk from 'azure-iot-device';
import transports from 'azure-iot-device-mqtt';

const { env } = process;
const socket = connect(Number(env.PUPPET_PORT), '127.0.0.1');
const tell = (line) => socket.write(`${JSON.stringify(line)}\n`);
socket.on('error', () => process.exit(0));
socket.on('close', () => process.exit(0));
tell({ event: 'hello', name: env.PUPPET_NAME });

const clients = new Map();
const openAtATime = 20;

async function make({ connection, transport, ca, cert, key, renewal }) {
  const way = transport === 'mqtt-ws' ? transports.MqttWs : transports.Mqtt;
  let made;
  if (renewal === undefined) made = sdk.Client.fromConnectionString(connection, way);
  else {
    const provider = sdk.SharedAccessKeyAuthenticationProvider.fromConnectionString(connection);
    provider.setTokenRenewalValues(renewal.validSeconds, renewal.marginSeconds);
    made = sdk.Client.fromAuthenticationProvider(provider, way);
  }
  await made.setOptions({ ca: readFileSync(ca, 'utf8'), ...(cert === undefined ? {} : { cert, key }) });
  return made;
}

async function openOne(client, parameters) {
  const made = await make(parameters);
  // A client that nobody listens to would end the program.
  made.on('error', (error) => tell({ event: 'error', client, message: String(error) }));
  made.on('disconnect', () => tell({ event: 'disconnect', client }));
  await made.open();
  clients.set(client, { made, sent: 0, sending: undefined });
}

function sendOne(entry, client) {
  entry.sent += 1;
  const message = new sdk.Message(JSON.stringify({ n: entry.sent }));
  message.contentType = 'application/json';
  message.contentEncoding = 'utf-8';
  message.messageId = `${client}-${entry.sent}`;
  message.properties.add('from', client);
  return entry.made.sendEvent(message);
}

async function twinOf(entry) {
  entry.twin ??= await entry.made.getTwin();
  return entry.twin;
}

const commands = {
  open: ({ client, ...parameters }) => openOne(client, parameters),
  async openMany({ connections, ...parameters }) {
    const waiting = Object.entries(connections);
    const worker = async () => {
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop())
        await openOne(next[0], { ...parameters, connection: next[1] });
    };
    await Promise.all(Array.from({ length: openAtATime }, worker));
    return clients.size;
  },
  /** One after the other, each after the acknowledgement of the last. */
  async send({ client, count }) {
    const entry = clients.get(client);
    for (let index = 0; index < count; index += 1) await sendOne(entry, client);
    return entry.sent;
  },
  async sendAll({ count }) {
    await Promise.all([...clients.keys()].map((client) => commands.send({ client, count })));
  },
  async startSending({ client, everyMs }) {
    const entry = clients.get(client);
    entry.goesOn = true;
    entry.sending = (async () => {
      while (entry.goesOn) {
        await sendOne(entry, client);
        await new Promise((resolve) => setTimeout(resolve, everyMs));
      }
    })();
    entry.sending.catch((error) => tell({ event: 'send-failed', client, message: String(error) }));
  },
  /** How many were acknowledged. */
  async stopSending({ client }) {
    const entry = clients.get(client);
    entry.goesOn = false;
    await entry.sending;
    return entry.sent;
  },
  async twin({ client }) {
    const entry = clients.get(client);
    const fresh = await entry.made.getTwin();
    entry.twin = fresh;
    return { desired: fresh.properties.desired, reported: { ...fresh.properties.reported, update: undefined } };
  },
  async report({ client, patch }) {
    const twin = await twinOf(clients.get(client));
    await new Promise((resolve, reject) =>
      twin.properties.reported.update(patch, (error) => (error ? reject(error) : resolve())),
    );
  },
  async onDesired({ client }) {
    const twin = await twinOf(clients.get(client));
    twin.on('properties.desired', (patch) => tell({ event: `desired ${client}`, patch }));
  },
  async close({ client }) {
    const entry = clients.get(client);
    clients.delete(client);
    await entry.made.close();
  },
};

createInterface({ input: socket }).on('line', (line) => {
  const { id, do: name, ...parameters } = JSON.parse(line);
  commands[name](parameters).then(
    (value) => tell({ id, ok: true, value }),
    (error) => tell({ id, ok: false, error: { name: error.name, message: error.message } }),
  );
});
