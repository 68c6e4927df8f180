// aedes in a process of its own, in memory, with its defaults. Arguments: port, TLS port, certificate, key.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { Aedes } from 'aedes';

const [port = '0', tlsPort = '0', certificate = '', key = ''] = process.argv.slice(2);
const host = '127.0.0.1';
const backlog = 4096;

const broker = await Aedes.createBroker();
createServer({ noDelay: true }, (socket) => void broker.handle(socket)).listen({ host, port: Number(port), backlog });
createTlsServer({ cert: readFileSync(certificate), key: readFileSync(key), noDelay: true }, (socket) => {
  socket.on('error', () => undefined);
  broker.handle(socket);
}).listen({ host, port: Number(tlsPort), backlog });
process.on('SIGTERM', () => process.exit(0));
