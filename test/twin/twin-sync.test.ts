// Twins in step with a hub that comes, goes and refuses.

import t from 'tap';
import { type Identity, identityKey } from '../../src/model/address.ts';
import { WeirError } from '../../src/model/errors.ts';
import type { JsonObject } from '../../src/model/json.ts';
import { mergePatch, type Twin } from '../../src/model/twin.ts';
import { TwinCache, type TwinSource, TwinSync } from '../../src/twin/index.ts';
import { MemoryTwins } from '../support/memory-twins.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock, settle } from '../support/sim-clock.ts';

const module = { deviceId: 'gw', moduleId: 'pump' };

class FakeHub implements TwinSource {
  connected = false;
  failing = false;
  reads = 0;
  readonly twins = new Map<string, Twin>();
  readonly patches: JsonObject[] = [];

  twin(identity: Identity): Promise<Twin> {
    this.reads += 1;
    if (this.failing) return Promise.reject(new WeirError({ code: 'UPSTREAM_OFFLINE', message: 'down' }));
    return Promise.resolve(this.of(identity));
  }

  patchReported(identity: Identity, patch: JsonObject): Promise<number> {
    if (this.failing) return Promise.reject(new WeirError({ code: 'UPSTREAM_OFFLINE', message: 'down' }));
    const { desired, reported } = this.of(identity);
    this.patches.push(patch);
    this.twins.set(identityKey(identity), {
      desired,
      reported: { properties: mergePatch(reported.properties, patch), version: reported.version + 1 },
    });
    return Promise.resolve(reported.version + 1);
  }

  of(identity: Identity): Twin {
    return (
      this.twins.get(identityKey(identity)) ?? {
        desired: { properties: {}, version: 1 },
        reported: { properties: {}, version: 1 },
      }
    );
  }
}

function bench(): {
  readonly hub: FakeHub;
  readonly cache: TwinCache;
  readonly sync: TwinSync;
  readonly clock: SimClock;
} {
  const hub = new FakeHub();
  const clock = new SimClock();
  const cache = new TwinCache(new MemoryTwins());
  const sync = new TwinSync({ cache, source: hub, clock, log: keptLog(new SimClock()).log, retryMs: 5000 });
  return { hub, cache, sync, clock };
}

t.test('what was reported offline reaches the hub on connect, as one patch', async (t) => {
  const { hub, cache, sync, clock } = bench();
  sync.watch(module);
  await cache.patchReported(module, { a: 1 });
  await cache.patchReported(module, { b: 2 });
  hub.connected = true;
  sync.connected();
  await settle();
  t.same(hub.patches, [{ a: 1, b: 2 }]);
  t.equal(cache.owedReported(module), undefined);
  await cache.patchReported(module, { a: null });
  await settle();
  t.equal(hub.patches.length, 1, 'the next patch of a twin keeps its distance');
  await cache.patchReported(module, { c: 3 });
  await clock.advance(1000);
  t.same(hub.patches.slice(1), [{ a: null, c: 3 }]);
  await sync.close();
});

t.test('a gap in desired versions makes the whole twin be read', async (t) => {
  const { hub, cache, sync } = bench();
  hub.connected = true;
  sync.watch(module);
  await settle();
  hub.twins.set(identityKey(module), {
    desired: { properties: { a: 3 }, version: 4 },
    reported: { properties: {}, version: 1 },
  });
  sync.desired({ identity: module, patch: { a: 3 }, version: 4 });
  await settle();
  t.same(cache.twin(module).desired, { properties: { a: 3 }, version: 4 });
  t.equal(hub.reads, 2);
  await sync.close();
});

t.test('a hub that fails is asked again after a while, and nothing is lost', async (t) => {
  const { hub, cache, sync, clock } = bench();
  hub.connected = true;
  hub.failing = true;
  sync.watch(module);
  await cache.patchReported(module, { a: 1 });
  await settle();
  t.same(hub.patches, []);
  hub.failing = false;
  await clock.advance(5000);
  t.same(hub.patches, [{ a: 1 }]);
  await sync.close();
  t.equal(clock.timerCount, 0);
});
