// What is sent to the engine for a module: the options as deployed, and what is added, kept out or taken away.

import t from 'tap';
import { createPlan } from '../../src/containers/create-body.ts';
import type { ContainerSpec, LaunchSpec } from '../../src/containers/ports.ts';
import { shortDigest } from '../../src/platform/digest.ts';

const container: ContainerSpec = {
  image: 'r.test/box:1',
  createOptions: {},
  pullPolicy: 'on-create',
  labels: { own: 'a' },
};
const spec: LaunchSpec = {
  name: 'pump',
  generation: 'g7',
  env: { IOTEDGE_MODULEID: 'pump' },
  graceMs: 1_500,
  logBytesMax: 65_536,
  logFiles: 2,
};

function plan(
  {
    createOptions = {},
    more = {},
    allowElevated = true,
  }: {
    readonly createOptions?: ContainerSpec['createOptions'];
    readonly more?: Partial<LaunchSpec>;
    readonly allowElevated?: boolean;
  } = {},
  engine: 'podman' | 'docker' = 'podman',
) {
  const options = { network: { name: 'edge', ipv6: false, ipam: [] }, allowElevated, gateway: 'gw' };
  return createPlan({ ...spec, ...more }, { ...container, createOptions }, { options, engine, digest: shortDigest });
}

t.test('options pass through, whatever they are', async (t) => {
  const createOptions = {
    Hostname: 'h',
    ExposedPorts: { '80/tcp': {} },
    HostConfig: {
      Binds: ['/a:/b:ro'],
      PortBindings: { '80/tcp': [{ HostPort: '8080' }] },
      Devices: [{ PathOnHost: '/dev/x' }],
    },
  };
  t.match(plan({ createOptions }).body, createOptions);
});

t.test('the runtime adds its network, labels, log bounds and grace, and owns restarts', async (t) => {
  const { body, usesNetwork, createDigest } = plan({
    createOptions: { hostconfig: { restartpolicy: { Name: 'always' }, AutoRemove: true }, Labels: { theirs: 'b' } },
  });
  t.ok(usesNetwork);
  t.match(body, {
    Image: 'r.test/box:1',
    StopTimeout: 2,
    HostConfig: {
      RestartPolicy: { Name: 'no' },
      AutoRemove: false,
      NetworkMode: 'edge',
      LogConfig: { Type: 'k8s-file', Config: { 'max-size': '65536' } },
    },
    NetworkingConfig: { EndpointsConfig: { edge: { Aliases: ['pump'] } } },
    Labels: {
      own: 'a',
      theirs: 'b',
      'net.azure-devices.edge.owner': 'Microsoft.Azure.Devices.Edge.Agent',
      'net.azure-devices.edge.original-image': 'r.test/box:1',
      'net.weir.gateway': 'gw',
      'net.weir.module': 'pump',
      'net.weir.generation': 'g7',
      'net.weir.create': createDigest,
    },
  });
  t.notOk('hostconfig' in body, 'there is one HostConfig');
  t.match(plan({}, 'docker').body, { HostConfig: { LogConfig: { Type: 'json-file' } } });
});

t.test('variables: those of the deployment win over those of the options', async (t) => {
  const createOptions = { Env: ['A=1', 'IOTEDGE_MODULEID=thief', 'B'] };
  t.same(plan({ createOptions }).body['Env'], ['A=1', 'B', 'IOTEDGE_MODULEID=pump']);
});

t.test('what the options say themselves counts, before what the module has beside them', async (t) => {
  const more: Partial<LaunchSpec> = {
    stopSignal: 'SIGINT',
    resources: { memoryBytes: 1_000, cpus: 0.5, pids: 9, ioWeight: 5_000 },
    health: { command: ['/check'], intervalMs: 1_000, timeoutMs: 500, retries: 2, startPeriodMs: 0 },
    rlimits: { nofile: 10, nproc: 20 },
    mounts: [{ source: '/run/x', target: '/run/x', readOnly: true }],
  };
  t.match(plan({ more }).body, {
    StopSignal: 'SIGINT',
    Healthcheck: { Test: ['CMD', '/check'], Interval: 1e9, Timeout: 5e8, Retries: 2 },
    HostConfig: {
      Memory: 1_000,
      NanoCpus: 5e8,
      PidsLimit: 9,
      BlkioWeight: 1_000,
      Ulimits: [
        { Name: 'nofile', Soft: 10, Hard: 10 },
        { Name: 'nproc', Soft: 20, Hard: 20 },
      ],
      Mounts: [{ Type: 'bind', Source: '/run/x', Target: '/run/x', ReadOnly: true }],
    },
  });
  const createOptions = {
    StopSignal: 'SIGQUIT',
    StopTimeout: 30,
    Healthcheck: { Test: ['NONE'] },
    HostConfig: {
      Memory: 2_000,
      CpuQuota: 50_000,
      LogConfig: { Type: 'journald' },
      NetworkMode: 'host',
      Ulimits: [{ Name: 'nofile', Soft: 1, Hard: 2 }],
    },
  };
  const { body, usesNetwork } = plan({ more, createOptions });
  t.match(body, createOptions);
  t.notOk(usesNetwork);
  t.notOk('NanoCpus' in (body['HostConfig'] as object), 'not two limits of the processor');
  t.notOk('NetworkingConfig' in body);
});

t.test('words of a health check stay what they are in podman, too, which would split them at blanks', async (t) => {
  const createOptions = { Healthcheck: { Test: ['CMD', '/bin/sh', '-c', "it's fine"], Retries: 3 } };
  t.match(plan({ createOptions }).body, {
    Healthcheck: { Test: ['CMD-SHELL', `'/bin/sh' '-c' 'it'\\''s fine'`], Retries: 3 },
  });
  t.match(plan({ createOptions }, 'docker').body, createOptions);
});

t.test('without elevated permissions nothing privileged is left', async (t) => {
  const createOptions = { HostConfig: { Privileged: true, CapAdd: ['SYS_ADMIN'], CapDrop: ['NET_RAW'] } };
  t.match(plan({ createOptions, allowElevated: false }).body, {
    HostConfig: { Privileged: false, CapAdd: [], CapDrop: ['NET_RAW', 'CAP_CHOWN', 'CAP_SETUID'] },
  });
  t.match(plan({ createOptions }).body, createOptions);
});

t.test('the digest changes with anything that the container is made from', async (t) => {
  const base = plan().createDigest;
  t.equal(plan().createDigest, base);
  t.not(plan({ more: { env: { X: '1' } } }).createDigest, base);
  t.not(plan({ createOptions: { Cmd: ['a'] } }).createDigest, base);
  t.not(plan({ allowElevated: false }).createDigest, base);
});
