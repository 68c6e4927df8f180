// A simulated plant: one Modbus TCP slave (units 1 and 2) and one RTU slave (unit 1) on a pseudo terminal, with
// values that move (registers.ts) and knobs for what goes wrong (slave.ts). Used by tests and by the demo.

import { join } from 'node:path';
import type { Clock } from '../../../src/platform/clock.ts';
import { Registers } from './registers.ts';
import { RtuPlant } from './rtu.ts';
import { Slave } from './slave.ts';
import { TcpPlant } from './tcp.ts';

export type { Faults, Slave } from './slave.ts';

export interface PlantOptions {
  readonly clock: Clock;
  /** 0 takes any free port. */
  readonly tcpPort: number;
  /** Where the serial port `line` appears; absent: no RTU slave. */
  readonly ptyDir?: string;
  /** The program pty-pair, or the path of its C source. Default: the source in native/pty-pair below the working directory. */
  readonly ptyPair?: string;
}

export interface Plant {
  readonly tcp: TcpPlant;
  readonly rtu: RtuPlant | undefined;
  close(): Promise<void>;
}

export async function startPlant({
  clock,
  tcpPort,
  ptyDir,
  ptyPair = 'native/pty-pair/pty-pair.c',
}: PlantOptions): Promise<Plant> {
  const tcp = new TcpPlant(new Slave([1, 2], new Registers(clock, 'PLANT-01')), { clock, port: tcpPort });
  await tcp.comeBack();
  const slave = new Slave([1], new Registers(clock, 'PLANT-02'));
  const rtu = ptyDir === undefined ? undefined : new RtuPlant(slave, { clock, path: join(ptyDir, 'line'), ptyPair });
  await rtu?.comeBack();
  return {
    tcp,
    rtu,
    close: async () => {
      await tcp.vanish();
      await rtu?.vanish();
    },
  };
}
