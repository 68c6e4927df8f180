import t from 'tap';
import { DeviceState } from '../../../src/modules/modbus/device-state.ts';

t.test(
  'a device goes down after its failures in a row, is probed at doubling distance, and comes back at once',
  async (t) => {
    const state = new DeviceState({ after: 3, probeMs: [100, 350] });
    t.equal(state.answered(), 'none');
    t.equal(state.failed(0), 'none');
    t.equal(state.failed(0), 'none');
    t.equal(state.answered(), 'none', 'an answer in between starts the count anew');
    state.failed(0);
    state.failed(0);
    t.equal(state.isDown, false);
    t.equal(state.failed(1000), 'went-down');
    t.equal(state.isDown, true);
    const probes = [state.probeAtMs];
    for (let probe = 0; probe < 3; probe += 1) {
      t.equal(state.failed(state.probeAtMs), 'none');
      probes.push(state.probeAtMs);
    }
    t.same(probes, [1100, 1300, 1650, 2000]);
    t.equal(state.answered(), 'came-back');
    t.equal(state.isDown, false);
  },
);
