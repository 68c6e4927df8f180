// Where a broker listens, as people write it: one URL a listener.
//
//   tcp://127.0.0.1:1883     tls://0.0.0.0:8883      mqtt:// and mqtts:// mean the same
//   ws://[::1]:8080          wss://gateway:443       any path is served
//   unix:///run/weir/mqtt.sock
//
// Port 0 lets the system choose; without one the usual port of the scheme holds.

export type ListenUrl =
  | { readonly scheme: 'tcp' | 'tls' | 'ws' | 'wss'; readonly host: string; readonly port: number }
  | { readonly scheme: 'unix'; readonly path: string };

export const listenUrlForms =
  'tcp://HOST:PORT, tls://HOST:PORT, ws://HOST:PORT, wss://HOST:PORT or unix:///PATH, such as tcp://127.0.0.1:1883';

/** Proxies that are believed when nobody says otherwise. */
export const loopbackNetworks: readonly string[] = ['127.0.0.0/8', '::1'];

const usualPorts = { tcp: 1883, tls: 8883, ws: 80, wss: 443 } as const;
const schemes: Readonly<Record<string, keyof typeof usualPorts>> = {
  tcp: 'tcp',
  mqtt: 'tcp',
  tls: 'tls',
  mqtts: 'tls',
  ws: 'ws',
  wss: 'wss',
};
const portMax = 65_535;
const byteMax = 255;
const ipv4Bits = 32;
const ipv6Bits = 128;

/** Undefined when `text` is none of listenUrlForms. */
export function parseListenUrl(text: string): ListenUrl | undefined {
  const path = /^unix:\/\/(\/.+)$/.exec(text)?.[1];
  if (path !== undefined) return { scheme: 'unix', path };
  const match = /^([a-z]+):\/\/(\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?\/?$/.exec(text);
  const name = match?.[1] ?? '';
  const scheme = Object.hasOwn(schemes, name) ? schemes[name] : undefined;
  if (match === null || scheme === undefined) return undefined;
  const port = match[3] === undefined ? usualPorts[scheme] : Number(match[3]);
  if (port > portMax) return undefined;
  return { scheme, host: (match[2] ?? '').replace(/^\[|\]$/g, ''), port };
}

/** An address, or a network in CIDR notation. */
export function isNetwork(text: string): boolean {
  const [address = '', prefix = '0', ...rest] = text.split('/');
  if (rest.length > 0 || !/^\d{1,3}$/.test(prefix)) return false;
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(address)) {
    return Number(prefix) <= ipv4Bits && address.split('.').every((byte) => Number(byte) <= byteMax);
  }
  const isIpv6 = /^[0-9A-Fa-f:.]+$/.test(address) && URL.canParse(`tcp://[${address}]`);
  return isIpv6 && Number(prefix) <= ipv6Bits;
}

/** Whether only this machine reaches it. A name other than localhost may mean any address. */
export function isLocalListener(url: ListenUrl): boolean {
  if (url.scheme === 'unix') return true;
  return /^(127\.\d{1,3}\.\d{1,3}\.\d{1,3}|::1|localhost)$/i.test(url.host);
}
