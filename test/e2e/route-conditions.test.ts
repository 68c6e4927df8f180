// Routes with conditions in the executable: what holds goes to the hub, a bad route is reported and takes nothing along.

import t from 'tap';
import { manifest, sensor } from '../support/world/manifest.ts';
import { World } from '../support/world/world.ts';

t.test('conditions decide what reaches the hub, and a bad route is told', async (t) => {
  const world = new World();
  t.teardown(() => world.close());
  await world.startHub();
  await world.provision();
  await world.startGateway();
  const even = 'is_number($body.machine.temperature) AND as_number(sequenceNumber) % 2 = 0';
  const routes = {
    even: `FROM /messages/modules/sensor/* WHERE ${even} AND $connectionModuleId = 'sensor' INTO $upstream`,
    never: 'FROM /messages/modules/sensor/* WHERE $body.machine.nothing = 5 OR missing = $messageId INTO $upstream',
    bad: 'FROM /messages/* WHERE temperature > 20 INTO $upstream',
  };
  await world.deploy(manifest({ modules: { sensor: sensor(20) }, routes }));
  const events = await world.messages('sensor', 10);
  const numbers = events.map((event) => Number(event.properties['sequenceNumber']));
  t.ok(
    numbers.every((number, at) => number % 2 === 0 && number > (numbers[at - 1] ?? 0)),
    `only even: ${numbers}`,
  );
  await world.eventually('the report is at the hub', async () => {
    const { reported } = await world.twin('$edgeHub');
    return reported['lastDesiredStatus'] !== undefined || undefined;
  });
  const { reported } = await world.twin('$edgeHub');
  t.match(reported['lastDesiredStatus'], {
    code: 400,
    description: /^routes\.bad: Error parsing route bad - Route bad, character 36: .*write as_number\(temperature\)/,
  });
  const judged = await world.run('route', 'check', routes.bad);
  t.match(judged, { code: 1, stdout: /character 36/ });
  const tried = await world.run('route', 'test', routes.even, '--source', '/messages/modules/sensor/outputs/o');
  t.match(tried, { code: 0, stdout: /contentType is missing/ });
});
