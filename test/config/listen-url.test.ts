// URLs of listeners: what is understood, and which of them only this machine reaches.

import t from 'tap';
import { isLocalListener, parseListenUrl } from '../../src/config/listen-url.ts';

t.test('a URL is a scheme, a host and a port, or a path', (t) => {
  const rows: readonly (readonly [text: string, url: unknown])[] = [
    ['tcp://127.0.0.1:1883', { scheme: 'tcp', host: '127.0.0.1', port: 1883 }],
    ['mqtt://gateway', { scheme: 'tcp', host: 'gateway', port: 1883 }],
    ['tls://[::]:8883', { scheme: 'tls', host: '::', port: 8883 }],
    ['mqtts://0.0.0.0', { scheme: 'tls', host: '0.0.0.0', port: 8883 }],
    ['ws://localhost:8080/', { scheme: 'ws', host: 'localhost', port: 8080 }],
    ['wss://a.b-c', { scheme: 'wss', host: 'a.b-c', port: 443 }],
    ['tcp://0.0.0.0:0', { scheme: 'tcp', host: '0.0.0.0', port: 0 }],
    ['unix:///run/weir/mqtt.sock', { scheme: 'unix', path: '/run/weir/mqtt.sock' }],
    ['127.0.0.1:1883', undefined],
    ['tcp://:1883', undefined],
    ['tcp://a:65536', undefined],
    ['tcp://a:b', undefined],
    ['tcp://::1:1883', undefined],
    ['http://a:1', undefined],
    ['constructor://a:1', undefined],
    ['unix://run/x', undefined],
    ['', undefined],
  ];
  for (const [text, url] of rows) t.same(parseListenUrl(text), url, text);
  t.end();
});

t.test('loopback addresses and sockets are local, a name or any other address is not', (t) => {
  const isLocal = (text: string): boolean => {
    const url = parseListenUrl(text);
    return url !== undefined && isLocalListener(url);
  };
  for (const text of ['tcp://127.0.0.1', 'tcp://127.1.2.3', 'tls://[::1]', 'ws://localhost', 'unix:///a'])
    t.ok(isLocal(text), text);
  for (const text of ['tcp://0.0.0.0', 'tcp://[::]', 'tcp://127.0.0.1.example.org', 'tcp://gateway', 'tcp://10.0.0.1'])
    t.notOk(isLocal(text), text);
  t.end();
});
