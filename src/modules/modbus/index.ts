// The built-in module `modbus`: reads and writes field devices over Modbus RTU and TCP.
//
//   desired properties ─► register-map.ts | azure-schema.ts ─► Settings ─► one Poller a bus ─► publisher ─► outputs
//   methods and inputs `read`, `write`; `input1` as in Azure's module ─► access.ts ─► Poller (between two polls)
//
// A new desired section is parsed whole before anything is touched: with a mistake in it the last good one stays
// in force and the mistakes are reported (`configStatus`). A good one replaces all buses at once.

import { defineModule, type ModuleContext, type RunningModule } from '../contract.ts';
import { Plant } from './plant.ts';

export const modbus = defineModule({
  name: 'modbus',
  summary: 'Reads and writes field devices over Modbus RTU and TCP.',
  async start(context: ModuleContext): Promise<RunningModule> {
    const plant = new Plant(context);
    context.onDesired((desired) => plant.apply(desired));
    context.onMethod('read', (payload) => plant.access.read(payload));
    context.onMethod('write', (payload) => plant.access.write(payload));
    context.onInput('write', (message) => plant.writeFrom(message));
    context.onInput('input1', (message) => plant.writeAzure(message));
    plant.apply(context.desired());
    await plant.settled();
    context.ready();
    return plant;
  },
});
