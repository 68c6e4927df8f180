// The devices behind a gateway: from the hub's pages to who may connect, over a real directory.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { DeviceKey } from '../../src/identity/device-key.ts';
import { LeafDevices } from '../../src/identity/leaf-devices.ts';
import { signToken } from '../../src/identity/sas-token.ts';
import { scopeRetryMs, scopeSyncMsMin, scopeWaitMsMax } from '../../src/limits.ts';
import { type Identity, identityKey } from '../../src/model/address.ts';
import { type Disk, systemDisk } from '../../src/platform/disk.ts';
import { createLog } from '../../src/platform/log.ts';
import { sasResource } from '../../src/protocol/iothub/sas.ts';
import { SimClock, settle } from '../support/sim-clock.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

const keyA = Buffer.alloc(32, 0xa1);
const keyB = Buffer.alloc(32, 0xb2);
const keyM = Buffer.alloc(32, 0xc3);
const localKey = new DeviceKey(Buffer.alloc(32, 7).toString('base64'));
const sha1 = 'ab'.repeat(20);
const hourMs = 3_600_000;
const leaf: Identity = { deviceId: 'leaf' };
const leafModule: Identity = { deviceId: 'leaf', moduleId: 'm' };
const cam: Identity = { deviceId: 'cam' };
const ship: Identity = { deviceId: 'ship' };

type Row = Readonly<Record<string, unknown>>;

const sasRow = (identity: Identity, primary: Buffer, secondary: Buffer, fields: Row = {}): Row => ({
  ...identity,
  generationId: '1',
  status: 'enabled',
  authentication: {
    type: 'sas',
    symmetricKey: { primaryKey: primary.toString('base64'), secondaryKey: secondary.toString('base64') },
  },
  ...fields,
});
const leafRow = sasRow(leaf, keyA, keyB);
const moduleRow = sasRow(leafModule, keyM, keyM);
const camRow: Row = {
  deviceId: 'cam',
  generationId: '1',
  status: 'enabled',
  authentication: { type: 'selfSigned', x509Thumbprint: { primaryThumbprint: sha1.toUpperCase() } },
};
const shipRow: Row = {
  deviceId: 'ship',
  generationId: '1',
  status: 'enabled',
  authentication: { type: 'certificateAuthority' },
};

interface Page {
  readonly version: string;
  readonly devices: readonly Row[];
  readonly modules?: readonly Row[];
  readonly continuationLink?: string;
}

class FakeHub {
  pages: readonly Page[] = [];
  away = false;
  connected = true;
  asked = 0;

  scopePage(after: string | undefined): Promise<Buffer> {
    this.asked += 1;
    if (this.away) return Promise.reject(new TypeError('the hub is away'));
    const page = this.pages[after === undefined ? 0 : Number(after)];
    return Promise.resolve(Buffer.from(JSON.stringify({ modules: [], ...page })));
  }
}

async function setUp(
  t: Test,
  {
    directory = t.testdir(),
    deviceId = 'gw',
    clock = new SimClock(),
  }: { directory?: string; deviceId?: string; clock?: SimClock } = {},
) {
  const hub = new FakeHub();
  const lines: string[] = [];
  const log = createLog({ clock, level: 'debug', write: (line) => void lines.push(line) });
  const path = join(directory, 'scope.sealed');
  const real = systemDisk();
  let saved = 0;
  const disk: Disk = {
    ...real,
    writeFileAtomic: async (operation, file, content) => {
      await real.writeFileAtomic(operation, file, content);
      saved += 1;
    },
  };
  const leafs = new LeafDevices(
    { source: hub, disk, entropy: seededEntropy(3), clock, log, sealKey: localKey },
    { path, hubHostname: 'hub.example', gatewayHostname: 'gw.local', deviceId, trustsAuthorities: true },
  );
  const revoked: string[] = [];
  const left: string[] = [];
  const joined: string[] = [];
  leafs.onRevoked((identity) => void revoked.push(identityKey(identity)));
  leafs.onLeft((identity) => void left.push(identityKey(identity)));
  leafs.onJoined((identity) => void joined.push(identityKey(identity)));
  await leafs.start();
  t.teardown(() => leafs.close());
  /** The hub tells of these pages, and they are read to the end. */
  const tell = async (...pages: readonly Page[]): Promise<void> => {
    const before = saved;
    hub.pages = pages;
    leafs.changed(pages[0]?.version ?? '');
    await clock.advance(scopeSyncMsMin);
    await until(() => saved > before);
  };
  return { hub, clock, leafs, lines, revoked, left, joined, directory, path, tell, saved: () => saved };
}

/** Real files take their real time. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 1));
  await turns();
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

const claim = (identity: Identity, key: Buffer, clock: SimClock, host = 'hub.example', seconds = 60) => ({
  clientId: identityKey(identity),
  username: undefined,
  password: Buffer.from(
    signToken({ key, resource: sasResource(host, identity), expirySeconds: clock.wallMs() / 1000 + seconds }),
  ),
});

const shown = (clock: SimClock, fields: object = {}) => ({
  commonName: 'whoever',
  fingerprint: 'c'.repeat(64),
  thumbprint: 'd'.repeat(40),
  authorised: false,
  problem: 'DEPTH_ZERO_SELF_SIGNED_CERT',
  validFromMs: clock.wallMs() - hourMs,
  validToMs: clock.wallMs() + hourMs,
  ...fields,
});

t.test(
  'a device behind the gateway enters by either key until its token ends; its module by its own or the device’s',
  async (t) => {
    const { leafs, clock, tell } = await setUp(t);
    await tell({ version: 'v1', devices: [leafRow], modules: [moduleRow] });
    for (const [identity, key] of [
      [leaf, keyA],
      [leaf, keyB],
      [leafModule, keyM],
      [leafModule, keyA],
    ] as const) {
      t.strictSame(await leafs.authenticate(identity, claim(identity, key, clock)), {
        admitted: true,
        principal: { name: identityKey(identity), identity },
        expiresAtMs: clock.wallMs() + 60_000,
      });
    }
    t.match(await leafs.authenticate(leaf, claim(leaf, keyA, clock, 'GW.local')), { admitted: true });
    const byDevice = { ...claim(leaf, keyA, clock), clientId: 'leaf/m' };
    t.match(
      await leafs.authenticate(leafModule, byDevice),
      { admitted: true },
      'a token for the device is good for its module',
    );
  },
);

t.test('everybody else is refused with the reason and the mend', async (t) => {
  const { leafs, clock, tell } = await setUp(t);
  await tell({
    version: 'v1',
    devices: [leafRow, sasRow({ deviceId: 'off' }, keyA, keyB, { status: 'disabled' })],
    modules: [moduleRow],
  });
  const off = { deviceId: 'off' };
  const stranger = { deviceId: 'stranger' };
  const nobody = { deviceId: 'leaf', moduleId: 'nobody' };
  const table: readonly (readonly [string, Identity, object, RegExp])[] = [
    ['a stranger', stranger, claim(stranger, keyA, clock), /weir hub device set-parent stranger gw/],
    ['a stranger’s module', { ...stranger, moduleId: 'm' }, claim(stranger, keyA, clock), /set-parent stranger gw/],
    ['an unknown module', nobody, claim(nobody, keyA, clock), /has no module 'nobody'/],
    ['a disabled device', off, claim(off, keyA, clock), /update off --status enabled/],
    ['another key', leaf, claim(leaf, keyM, clock), /another key/],
    ['a module’s key for its device', leaf, claim(leafModule, keyM, clock), /token is for/],
    ['another hub', leaf, claim(leaf, keyA, clock, 'evil.example'), /token is for/],
    ['an old token', leaf, claim(leaf, keyA, clock, 'hub.example', -1), /expired 1 s ago/],
    ['no token', leaf, { clientId: 'leaf', username: undefined, password: undefined }, /sent no token/],
    ['a longer name', { deviceId: 'leafy' }, claim(leaf, keyA, clock), /set-parent leafy/],
  ];
  for (const [what, identity, attempt, detail] of table)
    t.match(
      await leafs.authenticate(identity, attempt as never),
      { admitted: false, reason: 'not-authorized', detail },
      what,
    );
});

t.test('who has a certificate in the registry enters by it alone', async (t) => {
  const { leafs, clock, tell } = await setUp(t);
  await tell({ version: 'v1', devices: [camRow, shipRow] });
  const attempt = { clientId: 'cam', username: undefined, password: undefined };
  t.match(await leafs.authenticate(cam, { ...attempt, certificate: shown(clock, { thumbprint: sha1 }) }), {
    admitted: true,
    expiresAtMs: clock.wallMs() + hourMs,
  });
  t.match(await leafs.authenticate(cam, claim(cam, keyA, clock)), { admitted: false, detail: /showed none/ });
  t.match(await leafs.authenticate(cam, { ...attempt, certificate: shown(clock) }), { detail: /none of those/ });
  const authorised = { authorised: true, problem: undefined, commonName: 'ship' };
  t.match(await leafs.authenticate(ship, { ...attempt, certificate: shown(clock, authorised) }), { admitted: true });
  t.match(await leafs.authenticate(ship, { ...attempt, certificate: shown(clock, { commonName: 'ship' }) }), {
    detail: /no trusted authority/,
  });
  t.match(
    await leafs.authenticate(ship, { ...attempt, certificate: shown(clock, { ...authorised, commonName: 'cam' }) }),
    {
      detail: /for 'cam'/,
    },
  );
});

t.test('what the hub told holds after a restart without it, and keys are not in the clear on disk', async (t) => {
  const first = await setUp(t);
  await first.tell({ version: 'v1', devices: [leafRow, camRow], modules: [moduleRow] });
  await first.leafs.close();
  const bytes = readFileSync(first.path);
  for (const secret of [keyA, keyB, keyM, Buffer.from(keyA.toString('base64')), Buffer.from('leaf'), Buffer.from(sha1)])
    t.equal(bytes.indexOf(secret), -1, 'a secret is not in the file');
  t.equal(Buffer.from(bytes.toString('utf8').split('\n')[1] ?? '', 'base64').indexOf(keyA), -1);
  const { directory } = first;
  const again = await setUp(t, { directory });
  again.hub.away = true;
  t.match(await again.leafs.authenticate(leafModule, claim(leafModule, keyM, again.clock)), { admitted: true });
  t.match(await again.leafs.authenticate({ deviceId: 'x' }, claim(leaf, keyA, again.clock)), {
    detail: /told nothing since the start/,
  });
});

t.test('a file of another gateway, cut or changed is set aside, and nobody is let in by it', async (t) => {
  const { directory, path, tell, leafs } = await setUp(t);
  await tell({ version: 'v1', devices: [leafRow] });
  await leafs.close();
  const good = readFileSync(path, 'utf8');
  const changed = `${good.slice(0, -10)}${good.at(-10) === 'A' ? 'B' : 'A'}${good.slice(-9)}`;
  const files: readonly (readonly [string, string, string])[] = [
    ['another gateway', good, 'gw2'],
    ['cut', good.slice(0, 60), 'gw'],
    ['changed', changed, 'gw'],
    ['rubbish', 'rubbish', 'gw'],
  ];
  for (const [what, text, deviceId] of files) {
    writeFileSync(path, text);
    const { leafs: other, lines } = await setUp(t, { directory, deviceId });
    t.notOk(other.has(leaf), what);
    t.ok(
      lines.some((line) => line.includes('set aside')),
      what,
    );
    t.ok(readdirSync(directory).includes('scope.sealed.damaged'), what);
  }
});

t.test('whoever loses the right is cut off, with the modules of a device; nobody else is', async (t) => {
  const { tell, revoked, left, joined, lines } = await setUp(t);
  const other = sasRow({ deviceId: 'other' }, keyA, keyB);
  await tell({ version: 'v1', devices: [leafRow, camRow, other], modules: [moduleRow] });
  t.same(joined, ['leaf', 'cam', 'other', 'leaf/m'], 'all are new at first');
  joined.length = 0;
  const changes: readonly (readonly [string, Page, readonly string[], readonly string[]])[] = [
    ['nothing', { version: 'v2', devices: [leafRow, camRow, other], modules: [moduleRow] }, [], []],
    [
      'a disabled device',
      { version: 'v3', devices: [{ ...leafRow, status: 'disabled' }, camRow, other], modules: [moduleRow] },
      ['leaf', 'leaf/m'],
      [],
    ],
    [
      'a module gone',
      { version: 'v4', devices: [{ ...leafRow, status: 'disabled' }, camRow, other] },
      ['leaf/m'],
      ['leaf/m'],
    ],
    [
      'other keys',
      {
        version: 'v5',
        devices: [{ ...leafRow, status: 'disabled' }, camRow, sasRow({ deviceId: 'other' }, keyM, keyB)],
      },
      ['other'],
      [],
    ],
    ['a device gone', { version: 'v6', devices: [camRow] }, ['leaf', 'other'], ['leaf', 'other']],
    ['another life', { version: 'v7', devices: [{ ...camRow, generationId: '2' }] }, ['cam'], []],
  ];
  for (const [what, page, expectedRevoked, expectedLeft] of changes) {
    revoked.length = 0;
    left.length = 0;
    lines.length = 0;
    await tell(page);
    t.same([...revoked].sort(), expectedRevoked, what);
    t.same([...left].sort(), expectedLeft, what);
  }
  t.same(joined, [], 'what changed is not new');
  await tell({ version: 'v8', devices: [camRow, leafRow] });
  t.same(joined, ['leaf']);
});

t.test('pages of different versions do not mix: reading begins anew', async (t) => {
  const { hub, leafs, clock, saved } = await setUp(t);
  const other = sasRow({ deviceId: 'other' }, keyA, keyB);
  hub.pages = [
    { version: 'v1', devices: [leafRow], continuationLink: '1' },
    { version: 'v2', devices: [other] },
  ];
  leafs.changed('v1');
  await clock.advance(0);
  await until(() => hub.asked === 2);
  t.notOk(leafs.has(leaf));
  hub.pages = [
    { version: 'v2', devices: [other], continuationLink: '1' },
    { version: 'v2', devices: [camRow] },
  ];
  await clock.advance(scopeSyncMsMin - 1);
  await turns();
  t.equal(hub.asked, 2, 'not at once');
  await clock.advance(1);
  await until(() => saved() === 1);
  t.ok(leafs.has({ deviceId: 'other' }));
  t.ok(leafs.has(cam));
});

t.test('a hub that is away or tells rubbish leaves what was known, and is asked again', async (t) => {
  const { hub, leafs, clock, tell, lines } = await setUp(t);
  await tell({ version: 'v1', devices: [leafRow] });
  lines.length = 0;
  hub.away = true;
  leafs.changed('v2');
  await clock.advance(scopeSyncMsMin);
  await until(() => lines.some((line) => line.includes('could not be read')));
  t.ok(leafs.has(leaf));
  hub.away = false;
  hub.pages = [{ version: '', devices: [] }];
  lines.length = 0;
  await clock.advance(scopeRetryMs);
  await until(() => lines.some((line) => line.includes('no version')));
  t.ok(leafs.has(leaf));
  hub.pages = [
    {
      version: 'v2',
      devices: [camRow, { deviceId: 'broken/id' }, { deviceId: 'half', authentication: { type: 'odd' } }],
    },
  ];
  await clock.advance(scopeRetryMs);
  await until(() => lines.some((line) => line.includes('from=hub')));
  t.ok(leafs.has(cam));
  t.notOk(leafs.has(leaf));
  t.ok(lines.some((line) => line.includes('left out') && line.includes('identities=2')));
});

t.test('a device that is earlier than the news of it waits for them, but not for long', async (t) => {
  const { hub, leafs, clock } = await setUp(t);
  hub.pages = [{ version: 'v1', devices: [leafRow] }];
  leafs.changed('v1');
  const early = leafs.authenticate(leaf, claim(leaf, keyA, clock));
  await clock.advance(0);
  t.match(await early, { admitted: true });
  let answer: (page: Buffer) => void = () => undefined;
  hub.scopePage = () =>
    new Promise((resolve) => {
      answer = resolve;
    });
  leafs.changed('v2');
  await clock.advance(scopeSyncMsMin);
  let verdict: unknown;
  void leafs.authenticate(cam, claim(cam, keyA, clock)).then((given) => {
    verdict = given;
  });
  await settle();
  t.equal(verdict, undefined);
  await clock.advance(scopeWaitMsMax);
  await until(() => verdict !== undefined);
  t.match(verdict, { admitted: false });
  answer(Buffer.from('{'));
  await turns();
  t.match(
    await leafs.authenticate(cam, claim(cam, keyA, clock)),
    { admitted: false },
    'at once, when the hub cannot tell',
  );
});

t.test('news that come while the scope is read are not forgotten', async (t) => {
  const { hub, leafs, clock, saved } = await setUp(t);
  const answers: ((page: Buffer) => void)[] = [];
  hub.scopePage = () => new Promise((resolve) => void answers.push(resolve));
  const page = (version: string, devices: readonly Row[]): Buffer =>
    Buffer.from(JSON.stringify({ version, devices, modules: [] }));
  leafs.changed('v1');
  await clock.advance(0);
  leafs.changed('v2');
  answers[0]?.(page('v1', [leafRow]));
  await until(() => saved() === 1);
  await clock.advance(scopeSyncMsMin);
  await until(() => answers.length === 2);
  answers[1]?.(page('v2', [camRow]));
  await until(() => saved() === 2);
  t.ok(leafs.has(cam));
  await clock.advance(scopeRetryMs);
  t.equal(answers.length, 2);
});

t.test('while the link is down nothing is asked: the hub tells when it is back', async (t) => {
  const { hub, leafs, clock, tell, lines } = await setUp(t);
  await tell({ version: 'v1', devices: [leafRow] });
  hub.away = true;
  hub.connected = false;
  const before = hub.asked;
  lines.length = 0;
  leafs.changed('v2');
  await clock.advance(scopeSyncMsMin);
  await until(() => hub.asked === before + 1);
  await clock.advance(scopeRetryMs * 5);
  await turns();
  t.equal(hub.asked, before + 1);
  t.same(lines, []);
  t.match(await leafs.authenticate(cam, claim(cam, keyA, clock)), { admitted: false }, 'nobody waits for it');
  hub.away = false;
  hub.connected = true;
  await tell({ version: 'v2', devices: [camRow] });
  t.ok(leafs.has(cam));
});

t.test('the hub is asked again on request although it told of nothing, and the asker waits for it', async (t) => {
  const { hub, leafs, clock, tell } = await setUp(t);
  await tell({ version: 'v1', devices: [leafRow] });
  hub.pages = [{ version: 'v1', devices: [leafRow, camRow] }];
  const before = hub.asked;
  let isDone = false;
  const refreshed = leafs.refresh().then(() => {
    isDone = true;
  });
  await turns();
  t.notOk(isDone, 'nothing is known yet');
  await clock.advance(scopeSyncMsMin);
  await until(() => isDone);
  await refreshed;
  t.equal(hub.asked, before + 1);
  t.ok(leafs.has(cam));
});
