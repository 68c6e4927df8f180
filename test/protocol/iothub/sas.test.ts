import t from 'tap';
import { formatSas, parseSas, sasCovers, sasResource, sasStringToSign } from '../../../src/protocol/iothub/sas.ts';

t.test('a token is written and read back, its resource untouched', (t) => {
  const resource = 'hub.example%2fdevices%2Fd';
  const text = formatSas({ resource, signature: 'a+/b==', expirySeconds: 1_700_000_000 });
  t.equal(text, 'SharedAccessSignature sr=hub.example%2fdevices%2Fd&sig=a%2B%2Fb%3D%3D&se=1700000000');
  t.strictSame(parseSas(text), {
    ok: true,
    resource,
    signature: 'a+/b==',
    expirySeconds: 1_700_000_000,
    policy: undefined,
  });
  t.equal(sasStringToSign(resource, 1_700_000_000), 'hub.example%2fdevices%2Fd\n1700000000');
  t.end();
});

t.test('the fields of a token may come in any order, with a policy name among them', (t) => {
  const parsed = parseSas('SharedAccessSignature se=12&skn=device&sig=aGk%3d&sr=h%2Fdevices%2Fd');
  t.match(parsed, {
    ok: true,
    resource: 'h%2Fdevices%2Fd',
    expirySeconds: 12,
    signature: 'aGk=',
    policy: 'device',
  });
  t.equal(
    formatSas({ resource: 'h', signature: 'aGk=', expirySeconds: 12, policy: 'device' }),
    'SharedAccessSignature sr=h&sig=aGk%3D&skn=device&se=12',
  );
  t.end();
});

t.test('a malformed token is refused with a reason', (t) => {
  const table: readonly [string, RegExp][] = [
    ['', /start/],
    ['Bearer sr=h&sig=aGk%3D&se=1', /start/],
    ['SharedAccessSignature sig=aGk%3D&se=1', /sr/],
    ['SharedAccessSignature sr=&sig=aGk%3D&se=1', /sr/],
    ['SharedAccessSignature sr=h&se=1', /sig/],
    ['SharedAccessSignature sr=h&sig=%zz&se=1', /sig/],
    ['SharedAccessSignature sr=h&sig=a*b&se=1', /sig/],
    ['SharedAccessSignature sr=h&sig=aGk%3D', /se/],
    ['SharedAccessSignature sr=h&sig=aGk%3D&se=soon', /se/],
    ['SharedAccessSignature sr=h&sig=aGk%3D&se=-1', /se/],
  ];
  for (const [text, reason] of table) {
    const parsed = parseSas(text);
    t.equal(parsed.ok, false, text);
    if (!parsed.ok) t.match(parsed.reason, reason, text);
  }
  t.end();
});

t.test("the resource of an identity is written as Microsoft's Node client writes it", (t) => {
  t.equal(sasResource('hub.example', { deviceId: 'd(1)' }), 'hub.example%2Fdevices%2Fd%25281%2529');
  t.equal(sasResource('hub', { deviceId: 'd', moduleId: '$edgeHub' }), 'hub%2Fdevices%2Fd%2Fmodules%2F%2524edgeHub');
  t.end();
});

t.test('a resource covers its identity and what lies below, cut at whole segments', (t) => {
  const device = { deviceId: 'a' };
  const module = { deviceId: 'a', moduleId: '$m' };
  const table: readonly [string, { deviceId: string; moduleId?: string }, boolean][] = [
    ['h%2Fdevices%2Fa', device, true],
    ['h/devices/a', device, true],
    ['H%2Fdevices%2Fa', device, true],
    ['gw%2Fdevices%2Fa', device, true],
    ['h%2Fdevices%2Fa', module, true],
    ['h%2Fdevices%2Fa%2Fmodules%2F%24m', module, true],
    ['h%2Fdevices%2Fa%2Fmodules%2F%2524m', module, true],
    [sasResource('h', module), module, true],
    ['h%2Fdevices%2Fab', device, false],
    ['h%2Fdevices%2FA', device, false],
    ['h%2Fdevices%2Fa%2Fmodules%2F%24m', device, false],
    ['h%2Fdevices%2Fa%2Fmodules%2Fother', module, false],
    ['h%2Fdevices%2Fa%2Fmodules', module, false],
    ['h%2Fdevices%2Fa%2Fmodules%2F%24m%2Fx', module, false],
    ['h%2Fdevices%2Fa%2Fother%2F%24m', module, false],
    ['other%2Fdevices%2Fa', device, false],
    ['h', device, false],
    ['h%2Fdevices', device, false],
    ['', device, false],
    ['%zz', device, false],
  ];
  for (const [resource, identity, covered] of table) {
    t.equal(
      sasCovers(resource, { hostnames: ['h', 'gw'], identity }),
      covered,
      `${resource} for ${JSON.stringify(identity)}`,
    );
  }
  t.end();
});
