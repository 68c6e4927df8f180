// A device of the hub over the wire: mqtt.js with TLS and a SAS token, as any client in the field.

import { connectAsync, type IPublishPacket, type MqttClient } from 'mqtt';
import { signToken } from '../../src/identity/index.ts';
import { type Identity, identityKey } from '../../src/model/address.ts';
import { formatUsername, sasResource } from '../../src/protocol/iothub/index.ts';

export interface HubDevice {
  readonly client: MqttClient;
  /** Publishes and waits for the PUBACK. */
  send(topic: string, body: string): Promise<void>;
  subscribe(filter: string): Promise<void>;
  /** The next message whose topic matches, also one that came before the question. */
  next(pattern: RegExp): Promise<{ readonly topic: string; readonly body: string }>;
  end(): Promise<void>;
}

export interface HubDeviceOptions {
  readonly port: number;
  readonly identity: Identity;
  readonly keyBase64: string;
  /** PEM; absent means plain TCP. */
  readonly ca?: string;
  readonly lifeSeconds?: number;
}

const hostname = 'localhost';

export async function connectHubDevice({
  port,
  identity,
  keyBase64,
  ca,
  lifeSeconds = 600,
}: HubDeviceOptions): Promise<HubDevice> {
  const client = await connectAsync(`${ca === undefined ? 'mqtt' : 'mqtts'}://${hostname}:${port}`, {
    clientId: identityKey(identity),
    username: formatUsername(hostname, identity),
    password: signToken({
      key: Buffer.from(keyBase64, 'base64'),
      resource: sasResource(hostname, identity),
      expirySeconds: Math.floor(Date.now() / 1000) + lifeSeconds,
    }),
    clean: true,
    reconnectPeriod: 0,
    ...(ca === undefined ? {} : { ca }),
  });
  client.on('error', () => undefined);
  const arrived: { topic: string; body: string }[] = [];
  let wake = (): void => undefined;
  client.on('message', (topic: string, payload: Buffer, _packet: IPublishPacket) => {
    arrived.push({ topic, body: payload.toString() });
    wake();
  });
  return {
    client,
    send: async (topic, body) => void (await client.publishAsync(topic, body, { qos: 1 })),
    subscribe: async (filter) => void (await client.subscribeAsync(filter, { qos: 0 })),
    async next(pattern) {
      for (;;) {
        const index = arrived.findIndex((message) => pattern.test(message.topic));
        const [found] = index === -1 ? [] : arrived.splice(index, 1);
        if (found !== undefined) return found;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    end: () => client.endAsync(true),
  };
}
