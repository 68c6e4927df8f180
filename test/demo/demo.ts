// `make demo`: the main job of weir for a visitor to watch, with a verdict and an exit code.
//
//   node demo.cjs [--keep] [--json]      in the root of the source tree, with out/weir-linux-x64 built
//
// --keep leaves the world running and says what to try; Ctrl-C ends it. --json prints the verdict as JSON on
// standard output and the story on standard error. Exit codes: 0 proved, 1 not proved or failed, 130 interrupted.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as timer } from 'node:timers/promises';
import { weirBinary } from '../support/world/world.ts';
import type { Proof } from './proof.ts';
import { Screen } from './screen.ts';
import { Story } from './story.ts';

const settleMs = 5000;
const reviveMs = 5000;
const watchMs = 500;
const logLines = 25;
const exitInterrupted = 130;
const columnsUsual = 80;
const rowsUsual = 24;
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function openScreen(isJson: boolean): Screen {
  const stream = isJson ? process.stderr : process.stdout;
  for (const each of [process.stdout, process.stderr]) each.on('error', () => undefined);
  const isTerminal = stream.isTTY === true && process.env['TERM'] !== 'dumb';
  return new Screen({
    write: (text) => void stream.write(text),
    isTerminal,
    columns: stream.columns ?? columnsUsual,
    rows: stream.rows ?? rowsUsual,
    hasColour: isTerminal && (process.env['NO_COLOR'] ?? '') === '',
  });
}

function sayVerdict(screen: Screen, proof: Proof, tookMs: number): void {
  const { messages, badSamples, whileOffline, whileDead } = proof;
  screen.line('');
  if (proof.isGood) {
    screen.say(`${whileOffline} of these samples were measured while the link was cut,`, 'dim');
    screen.say(`${whileDead} of them while there was no gateway process at all.`, 'dim');
    if (badSamples > 0) screen.say(`${badSamples} reads failed in the field and are in the log as such.`, 'dim');
    screen.line('');
    const took = `${Math.round(tookMs / 1000)} s`;
    screen.line(
      screen.paint('green', `PASS  The hub has all ${messages} messages exactly once and in order. (${took})`),
    );
  } else screen.line(screen.paint('red', "FAIL  The hub's log is not what the plant and the modules sent."));
}

/** The tail of each log, for the one who has to find out why. */
function sayLogs(screen: Screen, story: Story): void {
  const { gateway, hub, directory } = story.world;
  const show = (name: string, text: string): void => {
    if (text.trim() === '') return;
    screen.line(`--- ${name}`);
    for (const line of text.trimEnd().split('\n').slice(-logLines)) screen.line(line);
  };
  if (gateway !== undefined) show('gateway', gateway.stdout + gateway.stderr);
  if (hub !== undefined) show('hub', hub.stdout + hub.stderr);
  const logs = join(directory, 'gw', 'data', 'logs');
  for (const name of existsSync(logs) ? readdirSync(logs).sort() : [])
    if (name.endsWith('.log')) show(name, readFileSync(join(logs, name), 'utf8'));
}

async function keep(screen: Screen, story: Story, signal: AbortSignal): Promise<void> {
  const { world } = story;
  await story.leaveRunning();
  const weir = relative(process.cwd(), weirBinary);
  const gateway = `--config ${join(world.directory, 'gw', 'config.toml')}`;
  const hub = `--run-dir ${join(world.directory, 'hub', 'run')}`;
  const tries: readonly (readonly [string, string])[] = [
    ['the gateway at a glance', `${weir} status ${gateway}`],
    ['what a module writes', `${weir} logs modbus ${gateway}`],
    ['a module started again', `${weir} restart modbus ${gateway}`],
    ['what is right and what is not', `${weir} check ${gateway}`],
    ['what arrives at the hub', `${weir} hub monitor ${hub}`],
    ['what a module was told', `${weir} hub twin show ${world.deviceId} modbus ${hub}`],
    [
      'another deployment: edit the file, then',
      `${weir} hub deploy --device ${world.deviceId} ${join(world.directory, 'manifest.json')} ${hub}`,
    ],
    ['cut the link; once more mends it', `kill -USR2 ${process.pid}`],
    [`kill the gateway; it is back after ${reviveMs / 1000} s`, `kill -9 ${world.gateway?.pid ?? 0}`],
  ];
  screen.line('');
  screen.line(screen.paint('bold', 'It goes on running. Try, in another terminal in this directory:'));
  for (const [what, command] of tries) {
    screen.line(screen.paint('dim', `# ${what}`));
    screen.line(command);
  }
  screen.line('');
  screen.line(screen.paint('bold', 'Ctrl-C here ends everything and removes it.'));
  let isCut = false;
  process.on('SIGUSR2', () => {
    isCut = !isCut;
    if (isCut) world.line.cut();
    else world.line.mend();
    screen.line(isCut ? 'The link is cut.' : 'The link is mended.');
  });
  while (!signal.aborted) {
    await rest(watchMs, signal);
    if (signal.aborted || world.gateway?.running === true) continue;
    screen.line(`The gateway ended; it is started again in ${reviveMs / 1000} s.`);
    await rest(reviveMs, signal);
    if (signal.aborted) return;
    await world.startGateway();
    screen.line(`The gateway is back with pid ${world.gateway?.pid ?? 0}.`);
  }
}

async function rest(ms: number, signal: AbortSignal): Promise<void> {
  await timer(ms, undefined, { signal }).catch(() => undefined);
}

async function perform(screen: Screen, story: Story, signal: AbortSignal): Promise<number> {
  const startMs = performance.now();
  const isJson = process.argv.includes('--json');
  try {
    const proof = await story.tell();
    const tookMs = performance.now() - startMs;
    sayVerdict(screen, proof, tookMs);
    if (isJson) process.stdout.write(`${JSON.stringify({ verdict: proof.isGood ? 'pass' : 'fail', ...proof })}\n`);
    if (!proof.isGood) sayLogs(screen, story);
    else if (process.argv.includes('--keep')) await keep(screen, story, signal);
    return proof.isGood ? 0 : 1;
  } catch (error) {
    if (signal.aborted) return exitInterrupted;
    screen.close();
    sayLogs(screen, story);
    const reason = error instanceof Error ? error.message : String(error);
    screen.line('');
    screen.line(screen.paint('red', `FAIL  ${reason}`));
    if (isJson) process.stdout.write(`${JSON.stringify({ verdict: 'fail', reason })}\n`);
    return 1;
  }
}

async function main(): Promise<void> {
  const screen = openScreen(process.argv.includes('--json'));
  if (!existsSync(weirBinary)) {
    screen.line(`${weirBinary} is not there. Run make build-x64 first.`);
    process.exit(1);
  }
  const interrupted = new AbortController();
  for (const name of signals) process.on(name, () => interrupted.abort());
  const story = new Story(screen, interrupted.signal);
  const aborted = new Promise<void>((resolve) =>
    interrupted.signal.addEventListener('abort', () => resolve(), { once: true }),
  );
  const performing = perform(screen, story, interrupted.signal);
  await Promise.race([performing, aborted]);
  // The step under way may still start something: it is given the time to end before all is ended.
  const code = await Promise.race([performing, timer(settleMs, exitInterrupted)]);
  screen.close();
  if (interrupted.signal.aborted) screen.line('\nEnding everything that was started here.');
  await story.close();
  process.exit(code);
}

void main();
