// Files that leave the machine: over plain HTTP, and over HTTPS to a server with an authority of its own.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { trustedAuthorities } from '../../src/platform/download.ts';
import { systemWebPut } from '../../src/platform/web-put.ts';
import { artifactServer, selfSigned } from '../support/artifact-server.ts';

const upload = (url: string) => ({
  url,
  headers: { 'x-ms-blob-type': 'BlockBlob' },
  body: Buffer.from('log'),
  signal: new AbortController().signal,
});

t.test(
  'a server with an authority of the site takes a file when the trust bundle or SSL_CERT_FILE has it',
  async (t) => {
    const directory = t.testdir();
    const pair = selfSigned(directory);
    const bodies: string[] = [];
    const server = await artifactServer(pair, (request, response) => {
      let text = '';
      request.on('data', (chunk) => {
        text += String(chunk);
      });
      request.on('end', () => {
        bodies.push(`${request.method} ${request.url} ${request.headers['content-length']} ${text}`);
        response.writeHead(201).end('made');
      });
    });
    t.teardown(() => server.close());
    const url = server.url('/logs/a.log?sig=secret');

    const stranger = systemWebPut({ authorities: () => trustedAuthorities(undefined) });
    const refused = await stranger.put(upload(url)).catch((error: unknown) => error);
    t.match(refused, {
      code: 'PLATFORM_WEB_FAILED',
      message: /^No answer from https:\/\/localhost:\d+: .*certificate/,
    });
    t.notMatch(String(refused), 'secret');
    t.same(bodies, [], 'nobody gets a file whom nobody vouches for');

    const bundled = systemWebPut({ authorities: () => trustedAuthorities(pair.certificatePem) });
    t.same(await bundled.put(upload(url)), { status: 201, text: 'made' });
    t.same(bodies, ['PUT /logs/a.log?sig=secret 3 log']);

    const before = process.env['SSL_CERT_FILE'];
    t.teardown(() => {
      if (before === undefined) delete process.env['SSL_CERT_FILE'];
      else process.env['SSL_CERT_FILE'] = before;
    });
    const file = join(directory, 'authorities.pem');
    writeFileSync(file, pair.certificatePem);
    process.env['SSL_CERT_FILE'] = file;
    t.match(await stranger.put(upload(url)), { status: 201 }, 'read anew each time');
  },
);
