import t from 'tap';
import { parseManifest } from '../../../src/hub/manifest/manifest.ts';
import type { JsonValue } from '../../../src/model/json.ts';
import { edgeManifest } from '../../support/edge-manifest.ts';

type Loose = { [key: string]: Loose };

/** The paths of the faults after `spoil` had its way with a good manifest. */
function faults(spoil: (manifest: Loose) => void): string[] {
  const manifest = JSON.parse(JSON.stringify(edgeManifest())) as Loose;
  spoil(manifest);
  const parsed = parseManifest(manifest as unknown as JsonValue);
  return parsed.ok ? [] : parsed.problems.map((problem) => problem.path);
}

const agent = '$.modulesContent.$edgeAgent["properties.desired"]';
const hub = '$.modulesContent.$edgeHub["properties.desired"]';
const put = (value: unknown): Loose => value as Loose;
const agentOf = (manifest: Loose): Loose => manifest['modulesContent']!['$edgeAgent']!['properties.desired']!;
const hubOf = (manifest: Loose): Loose => manifest['modulesContent']!['$edgeHub']!['properties.desired']!;

t.test('a manifest of Azure passes, bare or inside content, and names its modules', async (t) => {
  for (const document of [edgeManifest(), { content: edgeManifest(), id: 'x' }]) {
    const parsed = parseManifest(document as unknown as JsonValue);
    t.ok(parsed.ok);
    if (!parsed.ok) return;
    t.same(parsed.manifest.moduleIds, ['SimulatedTemperatureSensor', 'modbus']);
    t.same([...parsed.manifest.desired.keys()], ['$edgeAgent', '$edgeHub', 'SimulatedTemperatureSensor']);
    t.same(parsed.manifest.desired.get('SimulatedTemperatureSensor'), { SendData: true, SendInterval: 5 });
  }
});

const envelopes: readonly (readonly [JsonValue, string, RegExp])[] = [
  [null, '$', /JSON object/],
  [[], '$', /JSON object/],
  [{}, '$', /modulesContent is missing/],
  [{ modulesContent: [] }, '$.modulesContent', /must be an object/],
  [{ content: {} }, '$.content', /modulesContent is missing/],
  [{ deviceContent: {} }, '$', /not an edge manifest/],
  [{ modules: {}, systemModules: {} }, '$', /Put them into/],
];

for (const [document, path, message] of envelopes) {
  t.test(`an envelope ${JSON.stringify(document)} is refused with the mend`, async (t) => {
    const parsed = parseManifest(document);
    t.notOk(parsed.ok);
    if (parsed.ok) return;
    t.equal(parsed.problems[0]?.path, path);
    t.match(parsed.problems[0]?.message, message);
  });
}

const rows: readonly (readonly [string, (manifest: Loose) => void, readonly string[]])[] = [
  ['no $edgeHub', (m) => delete m['modulesContent']!['$edgeHub'], ['$.modulesContent']],
  ['a module that is no object', (m) => (m['modulesContent']!['x'] = put(1)), ['$.modulesContent.x']],
  [
    'a foreign system module',
    (m) => (m['modulesContent']!['$other'] = put({ 'properties.desired': {} })),
    ['$.modulesContent.$other'],
  ],
  [
    'a layered key',
    (m) => (m['modulesContent']!['$edgeHub']!['properties.desired.routes.x'] = put('r')),
    ['$.modulesContent.$edgeHub["properties.desired.routes.x"]'],
  ],
  [
    'a forgotten properties.desired',
    (m) => (m['modulesContent']!['x'] = put({})),
    ['$.modulesContent.x["properties.desired"]'],
  ],
  [
    'a misspelt properties.desired',
    (m) => (m['modulesContent']!['x'] = put({ desired: {} })),
    ['$.modulesContent.x.desired'],
  ],
  [
    'a key no twin may have',
    (m) => (m['modulesContent']!['x'] = put({ 'properties.desired': { 'a.b': 1 } })),
    ['$.modulesContent.x["properties.desired"]["a.b"]'],
  ],
  [
    'a section too large',
    (m) =>
      (m['modulesContent']!['x'] = put({
        'properties.desired': Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`k${i}`, 'x'.repeat(4000)])),
      })),
    ['$.modulesContent.x["properties.desired"]'],
  ],
  ['a schema version as number', (m) => (agentOf(m)['schemaVersion'] = put(1.1)), [`${agent}.schemaVersion`]],
  ['an unknown agent schema', (m) => (agentOf(m)['schemaVersion'] = put('2.0')), [`${agent}.schemaVersion`]],
  ['no runtime', (m) => delete agentOf(m)['runtime'], [`${agent}.runtime`]],
  [
    'half a registry credential',
    (m) => delete agentOf(m)['runtime']!['settings']!['registryCredentials']!['own']!['password'],
    [`${agent}.runtime.settings.registryCredentials.own.password`],
  ],
  [
    'no edgeHub system module',
    (m) => delete agentOf(m)['systemModules']!['edgeHub'],
    [`${agent}.systemModules.edgeHub`],
  ],
  [
    'a user module among the system modules',
    (m) => (agentOf(m)['systemModules']!['x'] = put({})),
    [`${agent}.systemModules.x`],
  ],
  ['modules as a list', (m) => (agentOf(m)['modules'] = put([])), [`${agent}.modules`]],
  [
    'a module named like a system module',
    (m) => (agentOf(m)['modules']!['$x'] = put({ type: 'weir' })),
    [`${agent}.modules.$x`, `${agent}.modules.$x`],
  ],
  [
    'a module without a type',
    (m) => delete agentOf(m)['modules']!['modbus']!['type'],
    [`${agent}.modules.modbus.type`],
  ],
  [
    'a docker module without an image',
    (m) => delete agentOf(m)['modules']!['SimulatedTemperatureSensor']!['settings']!['image'],
    [`${agent}.modules.SimulatedTemperatureSensor.settings.image`],
  ],
  [
    'an unknown status',
    (m) => (agentOf(m)['modules']!['modbus']!['status'] = put('on')),
    [`${agent}.modules.modbus.status`],
  ],
  [
    'an unknown restart policy',
    (m) => (agentOf(m)['modules']!['modbus']!['restartPolicy'] = put('often')),
    [`${agent}.modules.modbus.restartPolicy`],
  ],
  [
    'an unknown pull policy',
    (m) => (agentOf(m)['modules']!['modbus']!['imagePullPolicy'] = put('always')),
    [`${agent}.modules.modbus.imagePullPolicy`],
  ],
  [
    'a negative startup order',
    (m) => (agentOf(m)['modules']!['modbus']!['startupOrder'] = put(-1)),
    [`${agent}.modules.modbus.startupOrder`],
  ],
  [
    'an env without value',
    (m) => (agentOf(m)['modules']!['modbus']!['env'] = put({ A: 'x' })),
    [`${agent}.modules.modbus.env.A`],
  ],
  [
    'createOptions that are no JSON',
    (m) => (agentOf(m)['modules']!['modbus']!['settings']!['createOptions'] = put('{')),
    [`${agent}.modules.modbus.settings.createOptions`],
  ],
  [
    'createOptions with a hole',
    (m) => (agentOf(m)['modules']!['modbus']!['settings']!['createOptions02'] = put('{}')),
    [`${agent}.modules.modbus.settings.createOptions`],
  ],
  [
    'createOptions00',
    (m) => (agentOf(m)['modules']!['modbus']!['settings']!['createOptions00'] = put('{}')),
    [`${agent}.modules.modbus.settings.createOptions00`],
  ],
  [
    'createOptions that are a list',
    (m) => (agentOf(m)['modules']!['modbus']!['settings']!['createOptions'] = put('[]')),
    [`${agent}.modules.modbus.settings.createOptions`],
  ],
  ['an unknown hub schema', (m) => (hubOf(m)['schemaVersion'] = put('1.9')), [`${hub}.schemaVersion`]],
  ['no routes', (m) => delete hubOf(m)['routes'], [`${hub}.routes`]],
  ['a route that is no route', (m) => (hubOf(m)['routes']!['x'] = put('everything to the cloud')), [`${hub}.routes.x`]],
  ['an empty route', (m) => (hubOf(m)['routes']!['x'] = put('')), [`${hub}.routes.x`]],
  ['a null route', (m) => (hubOf(m)['routes']!['x'] = put(null)), [`${hub}.routes.x`]],
  [
    'a hash in a route name',
    (m) => (hubOf(m)['routes']!['x#'] = put('FROM /* INTO $upstream')),
    [`${hub}.routes["x#"]`],
  ],
  ['a priority of ten', (m) => (hubOf(m)['routes']!['fast']!['priority'] = put(10)), [`${hub}.routes.fast.priority`]],
  [
    'a time to live as text',
    (m) => (hubOf(m)['routes']!['fast']!['timeToLiveSecs'] = put('1h')),
    [`${hub}.routes.fast.timeToLiveSecs`],
  ],
  ['a route object without a route', (m) => delete hubOf(m)['routes']!['fast']!['route'], [`${hub}.routes.fast.route`]],
  ['a route object under schema 1.0', (m) => (hubOf(m)['schemaVersion'] = put('1.0')), [`${hub}.routes.fast`]],
  [
    'a fractional store time',
    (m) => (hubOf(m)['storeAndForwardConfiguration']!['timeToLiveSecs'] = put(1.5)),
    [`${hub}.storeAndForwardConfiguration.timeToLiveSecs`],
  ],
  [
    'a store limit as text',
    (m) => (hubOf(m)['storeAndForwardConfiguration']!['storeLimits'] = put({ maxSizeBytes: '1GB' })),
    [`${hub}.storeAndForwardConfiguration.storeLimits.maxSizeBytes`],
  ],
];

for (const [what, spoil, paths] of rows) {
  t.test(`${what} is refused with its path`, async (t) => {
    t.same(faults(spoil), paths);
  });
}

t.test('what other tools leave out or write otherwise is accepted', async (t) => {
  t.same(
    faults((m) => {
      delete agentOf(m)['modules'];
      hubOf(m)['routes'] = {};
      delete hubOf(m)['storeAndForwardConfiguration'];
      agentOf(m)['systemModules']!['edgeHub']!['settings'] = put({ image: 'x', createOptions: { HostConfig: {} } });
      agentOf(m)['systemModules']!['edgeAgent']!['settings']!['createOptions'] = put('');
      agentOf(m)['unknown'] = put({ kept: true });
    }),
    [],
  );
});

t.test('every fault is counted and the first hundred are kept', async (t) => {
  const manifest = edgeManifest() as unknown as Loose;
  const routes = Object.fromEntries(Array.from({ length: 150 }, (_, index) => [`r${index}`, 'nonsense']));
  hubOf(manifest)['routes'] = put(routes);
  const parsed = parseManifest(manifest as unknown as JsonValue);
  t.notOk(parsed.ok);
  if (parsed.ok) return;
  t.equal(parsed.total, 150);
  t.equal(parsed.problems.length, 100);
});
