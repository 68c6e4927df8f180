// The CONNECT of a client, from its options: 3.1.1, with mosquitto's bridge bit, or 5.0.

import { Buffer } from 'node:buffer';
import { packetBytesMax } from '../../limits.ts';
import type { MqttClientOptions } from './client.ts';
import type { ConnectPacket } from './packet.ts';

const version4 = 4;
const version5 = 5;

export function connectPacket(options: MqttClientOptions): ConnectPacket {
  const { clientId, version = version4, username, password, keepAliveSeconds, cleanSession } = options;
  const { sessionExpirySeconds, bridge = false } = options;
  return {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: version,
    clientId,
    clean: cleanSession,
    keepalive: keepAliveSeconds,
    ...(bridge && version === version4 ? { bridgeMode: true } : {}),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password: Buffer.from(password) }),
    ...(version === version5
      ? {
          // What is larger the server drops; without a word of ours it would come again and again.
          properties: {
            maximumPacketSize: packetBytesMax,
            ...(sessionExpirySeconds === undefined ? {} : { sessionExpiryInterval: sessionExpirySeconds }),
          },
        }
      : {}),
  };
}
