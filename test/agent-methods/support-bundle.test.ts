// The support bundle as an archive that others open.

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { supportBundle } from '../../src/agent-methods/index.ts';
import type { LogQuestion } from '../../src/agent-methods/ports.ts';
import { SimClock } from '../support/sim-clock.ts';

const nowMs = Date.UTC(2026, 10, 21, 12, 34, 56);

async function bundle(options: { readonly runtimeOnly: boolean }, asked: LogQuestion[] = []): Promise<Buffer> {
  const pieces: Buffer[] = [];
  const bytes = supportBundle(
    {
      clock: new SimClock(nowMs),
      modules: {
        list: () => ['modbus', '../evil', 'broken'].map((name) => ({ name, wanted: 'running' as const })),
      },
      logs: {
        async *ofModule(question) {
          asked.push(question);
          if (question.name === 'broken') throw new TypeError('the disk is sick');
          yield `line of ${question.name}\n`;
          yield 'ä'.repeat(50_000);
        },
        own: () => ['started', 'ready'],
        names: async () => ['modbus', 'rolled-back'],
      },
      support: { documents: async () => ({ 'status.json': { version: '1' }, 'config.json': {} }) },
    },
    { window: { sinceMs: 5, untilMs: 9 }, ...options, signal: new AbortController().signal },
  );
  for await (const piece of bytes) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Python reads archives strictly and is on every machine that builds this. */
function opened(t: Test, archive: Buffer): Record<string, string> {
  const directory = t.testdir({});
  mkdirSync(directory, { recursive: true });
  const path = join(directory, 'b.zip');
  writeFileSync(path, archive);
  const script = `
import json, sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
assert z.testzip() is None
print(json.dumps({i.filename: [z.read(i).decode(), list(i.date_time), i.external_attr >> 16] for i in z.infolist()}))`;
  const found = JSON.parse(execFileSync('python3', ['-c', script, path]).toString()) as Record<
    string,
    [string, number[], number]
  >;
  for (const [, date, mode] of Object.values(found)) {
    if (date.join() !== '2026,11,21,12,34,56' || mode !== 0o100600) throw new TypeError(`${date} ${mode}`);
  }
  return Object.fromEntries(Object.entries(found).map(([name, [text]]) => [name, text]));
}

t.test('documents and logs are in it; a log that cannot be read says so, a name leads nowhere else', async (t) => {
  const asked: LogQuestion[] = [];
  const files = opened(t, await bundle({ runtimeOnly: false }, asked));
  t.same(Object.keys(files), [
    'status.json',
    'config.json',
    'logs/edgeAgent_log.txt',
    'logs/modbus_log.txt',
    'logs/%2E.%2Fevil_log.txt',
    'logs/broken_log.txt',
    'logs/rolled-back_log.txt',
  ]);
  t.equal(files['status.json'], '{\n  "version": "1"\n}\n');
  t.equal(files['logs/edgeAgent_log.txt'], 'started\nready\n');
  t.equal(files['logs/modbus_log.txt'], `line of modbus\n${'ä'.repeat(50_000)}`);
  t.equal(files['logs/broken_log.txt'], 'This log cannot be read: the disk is sick\n');
  t.match(asked, [{ name: 'modbus', sinceMs: 5, untilMs: 9 }, {}, {}, {}]);
});

t.test('of the runtime alone there are no logs of modules', async (t) => {
  const files = opened(t, await bundle({ runtimeOnly: true }));
  t.same(Object.keys(files), ['status.json', 'config.json', 'logs/edgeAgent_log.txt']);
});
