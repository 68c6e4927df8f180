// Generations of module identities: stable over restarts, new after a removal.

import t from 'tap';
import { ModuleRegistry } from '../../src/agent/index.ts';
import { MemoryState } from '../support/memory-twins.ts';

function bench(memory: MemoryState) {
  const events: string[] = [];
  let born = memory.values.size * 100;
  const registry = new ModuleRegistry({
    memory,
    newGenerationId: () => {
      born += 1;
      return `g${born}`;
    },
    workload: {
      open: ({ moduleId, generationId }) => Promise.resolve(void events.push(`open ${moduleId} ${generationId}`)),
      close: (moduleId) => Promise.resolve(void events.push(`close ${moduleId}`)),
    },
    joined: (moduleId) => void events.push(`joined ${moduleId}`),
    left: (moduleId) => Promise.resolve(void events.push(`left ${moduleId}`)),
    provision: ({ generationId, kind }) => ({
      env: { IOTEDGE_MODULEGENERATIONID: generationId },
      ...(kind === 'process' ? {} : { mounts: [{ source: '/run/m/api', target: '/run/m/api', readOnly: true }] }),
    }),
  });
  return { registry, events };
}

t.test('a module keeps its generation over a restart and gets a new one after its removal', async (t) => {
  const memory = new MemoryState();
  const first = bench(memory);
  await first.registry.start();
  t.same(await first.registry.provide('pump'), { env: { IOTEDGE_MODULEGENERATIONID: 'g1' } });
  t.match(await first.registry.provide('pump', 'container'), {
    env: { IOTEDGE_MODULEGENERATIONID: 'g1' },
    mounts: [{ target: '/run/m/api' }],
  });
  t.same(first.events, ['open pump g1', 'joined pump'], 'a second call opens nothing again');
  const second = bench(memory);
  await second.registry.start();
  t.equal(
    second.registry.generationId('pump'),
    'g1',
    'known before it is provided: a running module may connect at once',
  );
  await second.registry.keepOnly([]);
  t.equal(second.registry.generationId('pump'), undefined);
  await second.registry.provide('pump');
  t.not(second.registry.generationId('pump'), 'g1');
  t.same(second.events.slice(0, 2), ['close pump', 'left pump']);
});

t.test('what cannot be remembered is not believed: it is done again', async (t) => {
  const memory = new MemoryState();
  const { registry, events } = bench(memory);
  const { saveState } = memory;
  const full = () => Promise.reject(new Error('disk full'));
  memory.saveState = full;
  await t.rejects(registry.provide('pump'), /disk full/);
  t.same(events, [], 'no socket before its generation is durable');
  memory.saveState = saveState;
  await registry.provide('pump');
  t.match([...memory.values.values()].join(), /pump/);
  memory.saveState = full;
  await t.rejects(registry.keepOnly([]), /disk full/);
  memory.saveState = saveState;
  await registry.keepOnly([]);
  t.notMatch([...memory.values.values()].join(), /pump/, 'its generation does not come back with the next life');
});
