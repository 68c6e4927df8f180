// A module as Microsoft's tutorials write it, with Microsoft's client: environment, twin, input, output.

import sdk, { type Message, type ModuleClient, type Twin } from 'azure-iot-device';
import mqtt from 'azure-iot-device-mqtt';

interface Reported {
  update(patch: object, done: (error: Error | null) => void): void;
}

async function main(): Promise<void> {
  const client: ModuleClient = await sdk.ModuleClient.fromEnvironment(mqtt.Mqtt);
  client.on('error', (error: Error) => process.stdout.write(`error ${error.message}\n`));
  await client.open();
  const twin: Twin = await client.getTwin();
  twin.on('properties.desired', (delta: { readonly period?: number }) => {
    (twin.properties.reported as Reported).update({ period: delta.period ?? null }, (error) =>
      process.stdout.write(`reported ${error?.message ?? 'well'}\n`),
    );
  });
  client.on('inputMessage', (input: string, message: Message) => {
    const copy = new sdk.Message(message.getData());
    copy.contentType = 'application/json';
    copy.contentEncoding = 'utf-8';
    copy.properties.add('fromInput', input);
    copy.properties.add('fromSequence', String(message.properties.getValue('sequenceNumber')));
    client
      .sendOutputEvent('relayed', copy)
      .then(() => client.complete(message))
      .catch((error: unknown) => process.stdout.write(`not passed on: ${String(error)}\n`));
  });
  process.stdout.write('open\n');
}

main().catch((error: unknown) => {
  process.stdout.write(`${String(error)}\n`);
  process.exitCode = 1;
});
