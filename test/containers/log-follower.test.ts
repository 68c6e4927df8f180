// The log file of a container in step with the engine's log, over lives of the runtime and a clock that is set back.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ContainerLog } from '../../src/containers/container-log.ts';
import { catchUp, followLog } from '../../src/containers/log-follower.ts';
import { systemAppendFiles } from '../../src/platform/append-files.ts';
import { systemDisk } from '../../src/platform/disk.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock, settle } from '../support/sim-clock.ts';

type Parts = Parameters<typeof catchUp>[0];

const container = { id: '0123456789abcdef', tty: false };
const start = Date.UTC(2026, 0, 1) / 1000;
const bounds = { bytesMax: 1_000_000, files: 2 };

/** What an engine keeps of a container's output: lines with the second the machine's clock showed. */
class EngineLog {
  lines: { readonly second: number; readonly text: string }[] = [];
  readings = 0;

  write(second: number, ...texts: readonly string[]): void {
    for (const text of texts) this.lines.push({ second: start + second, text });
  }

  readonly engine: Parts['engine'] = {
    open: async (_what, { query = {}, signal }) => {
      this.readings += 1;
      const since = Number(query['since'] ?? 0);
      const frames = this.lines.filter(({ second }) => second >= since).map(frameOf);
      return {
        status: 200,
        headers: {},
        body: (async function* () {
          for (const frame of frames) yield frame;
          if (query['follow'] !== '1' || signal === undefined || signal.aborted) return;
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
          throw new TypeError('aborted');
        })(),
      };
    },
    untilBack: async () => undefined,
  };
}

function frameOf({ second, text }: { readonly second: number; readonly text: string }): Buffer {
  const payload = Buffer.from(`${new Date(second * 1000).toISOString().replace('.000Z', 'Z')} ${text}\n`);
  const header = Buffer.alloc(8);
  header[0] = 1;
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
}

class Life {
  readonly clock = new SimClock();
  readonly path: string;
  readonly parts: Parts;

  constructor(t: Test, { engine }: EngineLog) {
    this.path = join(t.testdirName, 'm.log');
    const ports = { files: systemAppendFiles(), disk: systemDisk(), clock: this.clock, log: keptLog(this.clock).log };
    const log = new ContainerLog(ports, { path: this.path, bounds });
    const times = { logSilentMsMin: 1000, logSilentMsMax: 1000 };
    this.parts = { engine, clock: this.clock, log, times };
  }

  async read(): Promise<string> {
    await this.parts.log.goOn(container.id);
    await this.again();
    await this.parts.log.close();
    return texts(this.path);
  }

  again(): Promise<void> {
    return catchUp(this.parts, container, new AbortController().signal);
  }
}

function texts(path: string): string {
  return readFileSync(path, 'latin1')
    .split('\n')
    .filter((line) => / O /.test(line))
    .map((line) => line.slice('2026-01-01T00:00:00.000Z O '.length))
    .join(' ');
}

t.test('each life goes on with the next line, within one second too', async (t) => {
  t.testdir({});
  const engine = new EngineLog();
  engine.write(1, 'a', 'b');
  engine.write(2, 'c');
  t.equal(await new Life(t, engine).read(), 'a b c');
  engine.write(2, 'c', 'd');
  t.equal(await new Life(t, engine).read(), 'a b c c d');
  engine.write(3, 'e\rf');
  t.equal(await new Life(t, engine).read(), 'a b c c d e\rf');
  t.equal(await new Life(t, engine).read(), 'a b c c d e\rf', 'a line with a carriage return is known, too');
  t.equal(engine.readings, 4, 'once for each');
});

t.test('no line is taken twice after the clock was set back, in this life and in the next', async (t) => {
  t.testdir({});
  const engine = new EngineLog();
  engine.write(100, 'a');
  engine.write(101, 'b', 'c');
  const life = new Life(t, engine);
  await life.read();
  engine.write(50, 'd');
  engine.write(51, 'e', 'e');
  // An answer since 101 does not have them: they come with the next line that an open reading brings, or the next life.
  await life.parts.log.add([50, 51, 51].map((second, at) => line(second, ['d', 'e', 'e'][at] ?? '')));
  await life.again();
  await life.parts.log.close();
  t.equal(texts(life.path), 'a b c d e e', 'asked anew');
  engine.write(52, 'f');
  t.equal(await new Life(t, engine).read(), 'a b c d e e f', 'what came meanwhile is taken');
  t.equal(await new Life(t, engine).read(), 'a b c d e e f');
  engine.write(100, 'a');
  engine.write(101, 'b', 'x');
  t.equal(await new Life(t, engine).read(), 'a b c d e e f a b x', 'seconds that come a second time');
  engine.write(101, 'y');
  t.equal(await new Life(t, engine).read(), 'a b c d e e f a b x y');
});

t.test('an engine that threw the known lines away has new ones only', async (t) => {
  t.testdir({});
  const engine = new EngineLog();
  engine.write(1, 'a', 'b', 'c');
  await new Life(t, engine).read();
  engine.lines = [];
  engine.write(1, 'd');
  engine.write(2, 'e');
  t.equal(await new Life(t, engine).read(), 'a b c d e');
});

t.test('a log that begins in the middle, of lines that are all alike, is found again', async (t) => {
  t.testdir({});
  const engine = new EngineLog();
  const many = (count: number): string[] => Array.from({ length: count }, (_, at) => `line${at}`);
  engine.write(500, ...many(100));
  engine.write(10, ...many(100));
  const life = new Life(t, engine);
  await life.read();
  writeFileSync(life.path, readFileSync(life.path, 'utf8').split('\n').slice(-80).join('\n'));
  const before = texts(life.path);
  engine.write(10, 'new');
  t.equal(await new Life(t, engine).read(), `${before} new`);
});

t.test('a log that is asked for anew in its silence brings nothing twice', async (t) => {
  t.testdir({});
  const engine = new EngineLog();
  engine.write(100, 'a');
  engine.write(20, 'b');
  const life = new Life(t, engine);
  await life.parts.log.goOn(container.id);
  const over = new AbortController();
  const following = followLog(life.parts, container, over.signal);
  // Beside the clock there is the real disk, in its own time.
  while (engine.readings < 10) {
    await settle();
    await life.clock.advance(1000);
  }
  over.abort();
  await following;
  t.equal(texts(life.path), 'a b');
  t.equal(life.clock.timerCount, 0);
  await life.parts.log.close();
});

function line(second: number, text: string): Parameters<ContainerLog['add']>[0][number] {
  return { stream: 'O', stampMs: (start + second) * 1000, isFraction: false, text: Buffer.from(text) };
}
