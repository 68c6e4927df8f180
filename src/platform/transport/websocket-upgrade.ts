// The HTTP request that turns a connection into a WebSocket, and its answers. Pure but for SHA-1.
//
//   GET /any/path HTTP/1.1            ──►   HTTP/1.1 101 Switching Protocols
//   Upgrade: websocket                      Upgrade: websocket
//   Connection: Upgrade                     Connection: Upgrade
//   Sec-WebSocket-Version: 13               Sec-WebSocket-Accept: base64(SHA-1(key + GUID))
//   Sec-WebSocket-Key: <16 bytes>           Sec-WebSocket-Protocol: mqtt
//   Sec-WebSocket-Protocol: mqtt
//
// Sources: RFC 6455 section 4.2; MQTT 5.0 section 6 [MQTT-6.0.0-3], [MQTT-6.0.0-4]. A client that offers no
// subprotocol we speak is refused, because it would not know that the bytes are MQTT. Extensions are not agreed to:
// permessage-deflate costs memory per connection, and MQTT through it is seldom smaller.

import { createHash } from 'node:crypto';

export interface UpgradeAnswer {
  readonly upgraded: boolean;
  /** To be sent as it is. */
  readonly text: string;
}

const guid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
/** The best first. */
const subprotocols: readonly string[] = ['mqtt', 'mqttv3.1'];
const keyPattern = /^[A-Za-z0-9+/]{22}==$/;
const fieldPattern = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/;
/** A visible target and the version: everything else is no request. */
const requestPattern = /^([A-Z]+) ([\x21-\x7e]+) HTTP\/1\.(\d)$/;

const asksPattern = /\r\nupgrade:[^\r\n]*websocket/i;

/** Whether the request, whatever it is otherwise, asks for a WebSocket. */
export function asksForWebSocket(head: string): boolean {
  return asksPattern.test(head);
}

/** `head` is the request up to, and without, its empty line, as Latin-1. */
export function answerUpgrade(head: string): UpgradeAnswer {
  const [first = '', ...lines] = head.split('\r\n');
  const request = requestPattern.exec(first);
  const fields = readFields(lines);
  if (request === null || fields === undefined) return refused('400 Bad Request', 'This is no HTTP request.');
  const [, method, , minor] = request;
  if (method !== 'GET')
    return refused('405 Method Not Allowed', 'Only GET can be upgraded to a WebSocket.', ['Allow: GET']);
  if (!tokensOf(fields, 'upgrade').includes('websocket') || !tokensOf(fields, 'connection').includes('upgrade'))
    return refused('426 Upgrade Required', 'This port speaks MQTT over WebSocket, subprotocol mqtt.', [
      'Upgrade: websocket',
    ]);
  if (fields.get('sec-websocket-version') !== '13')
    return refused('426 Upgrade Required', 'Version 13 of the WebSocket protocol is spoken here.', [
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
    ]);
  const key = fields.get('sec-websocket-key') ?? '';
  const hasBody = fields.has('transfer-encoding') || (fields.get('content-length') ?? '0') !== '0';
  if (minor === '0' || hasBody || !keyPattern.test(key))
    return refused('400 Bad Request', 'The request for a WebSocket is malformed.');
  const offered = listOf(fields, 'sec-websocket-protocol');
  const subprotocol = subprotocols.find((name) => offered.includes(name)); // [MQTT-6.0.0-4]: mqtt, whatever else is offered
  if (subprotocol === undefined)
    return refused('400 Bad Request', `Offer the subprotocol mqtt; this port speaks ${subprotocols.join(' and ')}.`);
  const accept = createHash('sha1').update(`${key}${guid}`).digest('base64');
  return {
    upgraded: true,
    text: `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: ${subprotocol}\r\n\r\n`,
  };
}

/** An answer that ends the connection. */
export function refused(status: string, text: string, fields: readonly string[] = []): UpgradeAnswer {
  const body = `${text}\n`;
  const connection = fields.includes('Upgrade: websocket') ? 'Upgrade, close' : 'close';
  const head = [
    `HTTP/1.1 ${status}`,
    ...fields,
    `Connection: ${connection}`,
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  return { upgraded: false, text: `${head.join('\r\n')}\r\n\r\n${body}` };
}

/** By lower-case name; what stands twice is joined by commas (RFC 9110, 5.3). Undefined when a line is no field. */
function readFields(lines: readonly string[]): ReadonlyMap<string, string> | undefined {
  const fields = new Map<string, string>();
  for (const line of lines) {
    const match = fieldPattern.exec(line);
    if (match === null) return undefined;
    const name = (match[1] as string).toLowerCase();
    const before = fields.get(name);
    fields.set(name, before === undefined ? (match[2] as string) : `${before}, ${match[2]}`);
  }
  return fields;
}

function listOf(fields: ReadonlyMap<string, string>, name: string): string[] {
  return (fields.get(name) ?? '').split(',').map((token) => token.trim());
}

function tokensOf(fields: ReadonlyMap<string, string>, name: string): string[] {
  return listOf(fields, name).map((token) => token.toLowerCase());
}
