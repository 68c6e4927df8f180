import t from 'tap';
import { parseImageName } from '../../src/containers/image-name.ts';
import { containerName } from '../../src/containers/labels.ts';
import { PullProgress } from '../../src/containers/pull-progress.ts';
import { shortDigest } from '../../src/platform/digest.ts';

const digest = `sha256:${'a'.repeat(64)}`;

for (const [text, reference, tag] of [
  ['ea', 'ea:latest', 'latest'],
  [' ubuntu ', 'ubuntu:latest', 'latest'],
  ['localhost:9000/ea', 'localhost:9000/ea:latest', 'latest'],
  ['mcr.ms.com/ms/ea:t1', 'mcr.ms.com/ms/ea:t1', 't1'],
  [`r.test/a__b/c.d@${digest}`, `r.test/a__b/c.d@${digest}`, undefined],
  [`r.test/a:1@${digest}`, `r.test/a@${digest}`, '1'],
] as const) {
  t.test(`the image ${text} is ${reference}`, async (t) => t.match(parseImageName(text), { reference, tag }));
}

for (const text of ['', 'ea:t1:t2', 'mcr.ms.com/ea:t1:t2', 'UPPER', 'a b', 'a@sha256:12', '/a', `${'a'.repeat(256)}`]) {
  t.test(`${JSON.stringify(text.slice(0, 20))} names no image`, async (t) => {
    t.throws(() => parseImageName(text), { code: 'CONTAINERS_IMAGE_NAME' });
  });
}

t.test('a container has its module name where an engine takes it, else one that no other module gets', async (t) => {
  t.equal(containerName('SimulatedTemperatureSensor', shortDigest), 'SimulatedTemperatureSensor');
  const odd = ['a', 'a b', 'a_b ', '$x', '+++', 'é', 'm'.repeat(128)].map((name) => containerName(name, shortDigest));
  for (const name of odd) t.match(name, /^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,71}$/);
  t.equal(new Set(odd).size, odd.length);
});

t.test('progress: bytes where they are known, else layers; an error inside a good answer is found', async (t) => {
  const progress = new PullProgress();
  t.equal(progress.text, 'pulling image');
  const take = (line: object): void => progress.take(Buffer.from(`${JSON.stringify(line)}\r\n`));
  take({ status: 'Pulling from box', id: '1' });
  take({ status: 'Downloading', id: 'l1', progressDetail: { current: 4_000_000, total: 10_000_000 } });
  t.equal(progress.text, 'pulling image: 40 % of 10.0 MB');
  take({ status: 'Download complete', id: 'l1' });
  take({ status: 'Pulling fs layer', id: 'l2' });
  t.equal(progress.text, 'pulling image: 1 of 2 layers');
  progress.take(Buffer.from('no json\n{"error":"manifest unk'));
  progress.take(Buffer.from('nown"}'));
  progress.end();
  t.equal(progress.error, 'manifest unknown');
});
