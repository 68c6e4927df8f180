// mosquitto with its persistence, as a queue for a client that is away, and as a QoS 1 bridge between two of them.
//
// Its durability is a copy of its whole memory in one file, written anew: each second (`each-second`), or as soon as
// anything changed (`each-change`, autosave_on_changes with an interval of 1), which is the most that it offers.
// Neither is what weir promises: PUBACK is sent first and the copy follows, so that a power cut takes what was
// acknowledged since. It is the nearest there is.

import { writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SessionClient } from '../../support/session-client.ts';
import { Program, until } from '../../support/world/program.ts';
import { freePort } from '../contenders.ts';
import type { ClientIdentity } from './mqtt-client.ts';

export type Saving = 'each-change' | 'each-second' | 'never';

export interface Mosquitto {
  readonly port: number;
  readonly pid: number;
  end(): Promise<void>;
}

const host = '127.0.0.1';
const startTimeoutMs = 20_000;
export const loadTopics = 'load/#';

export function loadClients(count: number): readonly ClientIdentity[] {
  return Array.from({ length: count }, (_, at) => ({ clientId: `load${at}`, topic: `load/${at}/t` }));
}

export async function startMosquitto(
  directory: string,
  { saving, bridgeTo }: { readonly saving: Saving; readonly bridgeTo?: number },
): Promise<Mosquitto> {
  await mkdir(directory, { recursive: true });
  const port = await freePort();
  const lines = [
    'user root',
    'log_type none',
    'max_inflight_messages 0',
    'max_queued_messages 0',
    'max_queued_bytes 0',
    'set_tcp_nodelay true',
    `listener ${port} ${host}`,
    'allow_anonymous true',
    ...savingLines(directory, saving),
    ...(bridgeTo === undefined ? [] : bridgeLines(bridgeTo)),
  ];
  const file = join(directory, 'mosquitto.conf');
  writeFileSync(file, `${lines.join('\n')}\n`);
  const program = new Program(['mosquitto', '-c', file], {});
  const kill = (): void => void program.end('SIGKILL');
  process.once('exit', kill);
  const probe = new SessionClient('probe');
  await until(`mosquitto on port ${port}`, startTimeoutMs, async () => {
    if (!program.running) throw new TypeError(`mosquitto ended by itself:\n${program.stdout}${program.stderr}`);
    return probe.connect(port, { clean: true });
  }).catch(async (error: unknown) => {
    await program.end('SIGKILL');
    throw error;
  });
  probe.drop();
  return {
    port,
    pid: program.pid,
    end: () => {
      process.off('exit', kill);
      return program.end('SIGKILL');
    },
  };
}

/** A client that has subscribed to everything at QoS 1 and is away: what comes is kept for it. */
export async function leaveSession(port: number): Promise<void> {
  const client = new SessionClient('away');
  await client.connect(port);
  await client.subscribe(loadTopics, 1);
  client.drop();
}

function savingLines(directory: string, saving: Saving): readonly string[] {
  if (saving === 'never') return ['persistence false'];
  const onChanges = saving === 'each-change';
  const place = `persistence_location ${directory}/`;
  return ['persistence true', place, 'autosave_interval 1', `autosave_on_changes ${onChanges}`];
}

function bridgeLines(port: number): readonly string[] {
  return [
    'connection up',
    `address ${host}:${port}`,
    `topic ${loadTopics} out 1`,
    'cleansession false',
    'try_private false',
    'notifications false',
    'restart_timeout 1',
    'keepalive_interval 60',
  ];
}
