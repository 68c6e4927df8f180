// Debian's mosquitto as somebody else's broker: with its sessions on disk, on a port that stays the same.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { Program, until } from './world/program.ts';

const readyMs = 180_000;

export class Mosquitto {
  readonly #directory: string;
  readonly port: number;
  #program: Program | undefined;

  private constructor(directory: string, port: number) {
    this.#directory = directory;
    this.port = port;
  }

  static async prepare(directory: string, extra = 'allow_anonymous true\n'): Promise<Mosquitto> {
    const mosquitto = new Mosquitto(directory, await freePort());
    mkdirSync(join(directory, 'mosquitto'), { mode: 0o777 });
    const lines = [
      `listener ${mosquitto.port} 127.0.0.1`,
      'user root',
      'persistence true',
      `persistence_location ${join(directory, 'mosquitto')}/`,
      'max_queued_messages 100000',
      extra,
    ];
    writeFileSync(join(directory, 'mosquitto.conf'), lines.join('\n'));
    return mosquitto;
  }

  async start(): Promise<void> {
    this.#program = new Program(['/usr/sbin/mosquitto', '-v', '-c', join(this.#directory, 'mosquitto.conf')], {});
    const program = this.#program;
    await until('mosquitto runs', readyMs, () => {
      if (!program.running) throw new TypeError(`mosquitto ended: ${program.stderr}`);
      return program.stderr.includes('running') ? true : undefined;
    });
  }

  /** In order: what it has is on disk afterwards. */
  async stop(): Promise<void> {
    await this.#program?.end('SIGTERM');
  }

  get log(): string {
    return this.#program?.stderr ?? '';
  }
}
