// [listeners] of config.toml: where the gateway listens besides its unix socket, and which of these addresses stand
// behind a proxy.
//
//   tls = "tls://0.0.0.0:8883"                 one address for each kind of listener
//   proxy_protocol = ["tls://0.0.0.0:8883"]    which of them, as they stand there: spelled as for `weir broker`

import { isNetwork, loopbackNetworks } from './listen-url.ts';
import type { SettingsReader } from './reader.ts';
import { type Config, type ListenerName, listenerNames } from './schema.ts';

export function readGatewayListeners(reader: SettingsReader): Config['listeners'] {
  return {
    unix: true,
    tcp: reader.address('listeners.tcp', 'tcp'),
    tls: reader.address('listeners.tls', 'tls'),
    ws: reader.address('listeners.ws', 'ws'),
    wss: reader.address('listeners.wss', 'wss'),
    proxied: readProxied(reader),
    trustedProxies: readTrustedProxies(reader),
  };
}

function readProxied(reader: SettingsReader): readonly ListenerName[] {
  const key = 'listeners.proxy_protocol';
  const texts = reader.texts(key) ?? [];
  const isMeant = (name: ListenerName, text: string): boolean => reader.value(`listeners.${name}`) === text;
  for (const text of texts) {
    if (!listenerNames.some((name) => isMeant(name, text))) reader.problem(key, `${text} is not among the listeners.`);
  }
  return listenerNames.filter((name) => texts.some((text) => isMeant(name, text)));
}

function readTrustedProxies(reader: SettingsReader): readonly string[] {
  const key = 'listeners.trusted_proxies';
  const texts = reader.texts(key) ?? loopbackNetworks;
  for (const text of texts) {
    if (!isNetwork(text)) reader.problem(key, `${text} is neither an address nor a network such as 10.0.0.0/8.`);
  }
  return texts;
}
