// A module as Microsoft's documentation writes one, with Microsoft's client, unmodified. Nobody tells it what to do: what
// it did is seen at the hub, so that it is the same in a process and in a container.
//
//   telemetry   {"count": n} on output "out", each `period` ms
//   twin        desired {"period"} is reported back as {"period"}
//   method      "echo" answers what it was called with
//   certificate a server certificate from the workload API, put to use once: {"tls": "<what its own client said>"}

import { request } from 'node:http';
import { connect, createServer } from 'node:tls';
import sdk from 'azure-iot-device';
import transports from 'azure-iot-device-mqtt';

const { env } = process;
const firstPeriodMs = 200;

function workload(method, path, body) {
  const socketPath = env.IOTEDGE_WORKLOADURI.replace('unix://', '');
  return new Promise((resolve, reject) => {
    const call = request(
      {
        socketPath,
        method,
        path: `${path}?api-version=${env.IOTEDGE_APIVERSION}`,
        headers: { 'content-type': 'application/json' },
      },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (piece) => {
          text += piece;
        });
        answer.on('end', () =>
          answer.statusCode < 300 ? resolve(JSON.parse(text)) : reject(new Error(`${answer.statusCode} ${text}`)),
        );
      },
    );
    call.on('error', reject);
    call.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** A TLS server with a certificate of the gateway, and a client that trusts the gateway alone. */
async function tryCertificate() {
  const name = 'module.plant.example';
  const at = `/modules/${env.IOTEDGE_MODULEID}/genid/${env.IOTEDGE_MODULEGENERATIONID}`;
  const [{ certificate, privateKey, expiration }, { certificate: ca }] = await Promise.all([
    workload('POST', `${at}/certificate/server`, { commonName: name, expiration: '2030-01-01T00:00:00Z' }),
    workload('GET', '/trust-bundle'),
  ]);
  if (!(Date.parse(expiration) > Date.now())) throw new Error(`expires ${expiration}`);
  const server = createServer({ cert: certificate, key: privateKey.bytes }, (socket) => socket.end('well'));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    return await new Promise((resolve, reject) => {
      const client = connect({ port: server.address().port, host: '127.0.0.1', servername: name, ca });
      client.once('data', (text) => resolve(String(text)));
      client.once('error', reject);
    });
  } finally {
    server.close();
  }
}

async function main() {
  const client = await sdk.ModuleClient.fromEnvironment(transports.Mqtt);
  client.on('error', (error) => console.log('error', error.message));
  await client.open();
  client.onMethod('echo', (call, answer) => answer.send(200, { echo: call.payload }, () => undefined));
  const twin = await client.getTwin();
  const report = (patch) =>
    new Promise((resolve, reject) => {
      twin.properties.reported.update(patch, (error) => (error ? reject(error) : resolve()));
    });
  let period = firstPeriodMs;
  twin.on('properties.desired', (patch) => {
    if (patch.period === undefined) return;
    period = patch.period;
    report({ period }).catch((error) => console.log('not reported', error.message));
  });
  await report({ tls: await tryCertificate().catch((error) => String(error)) });
  let count = 0;
  const send = () => {
    count += 1;
    const message = new sdk.Message(JSON.stringify({ count }));
    message.contentType = 'application/json';
    message.contentEncoding = 'utf-8';
    client
      .sendOutputEvent('out', message)
      .catch((error) => console.log('not sent', error.message))
      .then(() => setTimeout(send, period));
  };
  send();
  console.log('open');
}

main().catch((error) => {
  console.log(String(error));
  process.exitCode = 1;
});
