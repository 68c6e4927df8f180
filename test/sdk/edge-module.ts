// What is expected of programs/edge-module.mjs, wherever it runs: all that a module does with its gateway and hub.

import type { Test } from 'tap';
import type { World } from '../support/world/world.ts';

export async function provesItself(t: Test, world: World, name: string): Promise<void> {
  const reported = (property: string) =>
    world.eventually(
      `${name} reports ${property}`,
      async () => (await world.twin(name)).reported[property] ?? undefined,
    );
  t.equal(
    await reported('tls'),
    'well',
    'a server certificate of the gateway is one that its trust bundle vouches for',
  );
  const events = await world.messages(name, 3);
  t.match(events[0], { output: 'out', body: { count: 1 } }, 'telemetry');
  await world.patchDesired(name, { period: 150 });
  await world.eventually(
    'the twin is answered',
    async () => (await world.twin(name)).reported['period'] === 150 || undefined,
  );
  const asked = ['hub', 'method', 'invoke', `${world.deviceId}/${name}`, 'echo', '--payload', '{"a":1}', '--json'];
  const answer = await world.succeed(...asked, ...world.hubDirs);
  t.strictSame(JSON.parse(answer), { status: 200, payload: { echo: { a: 1 } } }, 'a method');
}
