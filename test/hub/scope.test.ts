import t from 'tap';
import { Scope } from '../../src/hub/scope.ts';
import { scopePageIdentitiesMax } from '../../src/limits.ts';
import { hubState } from '../support/hub-state.ts';

interface Page {
  readonly version: string;
  readonly devices: readonly { readonly deviceId: string }[];
  readonly modules: readonly { readonly deviceId: string; readonly moduleId: string }[];
  readonly continuationLink?: string;
}

const read = (scope: Scope, after?: string): Page => scope.page('gw', after) as unknown as Page;

t.test('a scope holds the devices behind the gateway and their modules, with what proves them', async (t) => {
  const hub = hubState(t.testdir());
  const { registry } = hub;
  const gateway = registry.createDevice('gw', { edge: true });
  const leaf = registry.createDevice('leaf', { parent: 'gw' });
  const module = registry.createModule('leaf', 'm');
  registry.createDevice('cam', {
    parent: 'gw',
    enabled: false,
    authentication: { kind: 'selfSigned', primaryThumbprint: 'ab'.repeat(20) },
  });
  registry.createDevice('elsewhere');
  const deviceScope = `ms-azure-iot-edge://gw-${gateway.generationId}`;
  const page = new Scope(hub).page('gw');
  t.match(page, {
    version: new Scope(hub).version('gw'),
    devices: [
      {
        deviceId: 'cam',
        status: 'disabled',
        authentication: { type: 'selfSigned', x509Thumbprint: { primaryThumbprint: 'AB'.repeat(20) } },
      },
      {
        deviceId: 'leaf',
        generationId: leaf.generationId,
        status: 'enabled',
        capabilities: { iotEdge: false },
        deviceScope,
        parentScopes: [deviceScope],
        authentication: { type: 'sas', symmetricKey: leaf.keys },
      },
    ],
    modules: [{ deviceId: 'leaf', moduleId: 'm', authentication: { type: 'sas', symmetricKey: module.keys } }],
  });
  t.equal(page['continuationLink'], undefined);
  hub.database.close();
});

t.test('pages go through all of a scope once, and a version tells when something changed', async (t) => {
  const hub = hubState(t.testdir());
  const { registry } = hub;
  registry.createDevice('gw', { edge: true });
  const scope = new Scope(hub);
  const empty = scope.version('gw');
  const names = Array.from({ length: scopePageIdentitiesMax }, (_, index) => `leaf${String(index).padStart(3, '0')}`);
  hub.database.transaction(() => {
    for (const name of names) registry.createDevice(name, { parent: 'gw' });
    for (const name of names) registry.createModule(name, 'm');
  });
  const full = scope.version('gw');
  t.not(full, empty);
  const first = read(scope);
  t.equal(first.devices.length + first.modules.length, scopePageIdentitiesMax);
  const second = read(scope, first.continuationLink);
  t.equal(second.continuationLink, undefined);
  t.same(
    [...first.devices, ...second.devices].map(({ deviceId }) => deviceId),
    names,
  );
  t.same(
    [...first.modules, ...second.modules].map(({ deviceId }) => deviceId),
    names,
  );
  t.equal(second.version, full);
  registry.update({ deviceId: names[0] ?? '' }, { enabled: false });
  t.not(scope.version('gw'), full);
  t.throws(() => scope.page('gw', '//'), { code: 'HUB_ARGUMENT_INVALID' });
  hub.database.close();
});
