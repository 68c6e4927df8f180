// A container engine and a registry of a test's own: podman's service and Debian's docker-registry, with storage,
// configuration and sockets in one temporary directory, on loopback and free ports. Images are made of busybox.
//
// Nothing of this machine's own podman is read or changed, but for what a kernel has only once: networks get names and
// subnets of their own, and close() takes away containers and networks before it ends what it started.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { wholeTree } from './removal.ts';
import { until } from './world/program.ts';

const startMs = 180_000;
const applets = [
  'sh',
  'sleep',
  'cat',
  'echo',
  'date',
  'kill',
  'wget',
  'nc',
  'ls',
  'head',
  'tail',
  'seq',
  'id',
  'true',
  'false',
  'dd',
];
/** `secret`, as bcrypt; the user is `weir`. */
export const registryUser = { username: 'weir', password: 'secret' };
const htpasswd = 'weir:$2b$04$TnecDEpkXjLb7koBf39xCe2bB1xhLQmHc9MA5hwBuS9ooZt43wViC\n';

export interface ImageOptions {
  /** Dockerfile words as the engine's import takes them: `CMD ["/bin/sh"]`, `ENV A=b`, `HEALTHCHECK …`. */
  readonly changes?: readonly string[];
  /** Files beside busybox: path in the image → path here. */
  readonly files?: Readonly<Record<string, string>>;
}

export class Podman {
  readonly directory = mkdtempSync(join(tmpdir(), 'weir-podman-'));
  readonly #containersConf = join(this.directory, 'containers.conf');
  readonly #registriesConf = join(this.directory, 'registries.conf');
  #service: ChildProcess | undefined;
  #registry: ChildProcess | undefined;
  /** Another engine of a test would take the same subnet until its first container makes it seen. */
  readonly #net = 64 + (process.pid % 128);
  /** `127.0.0.1:port` once startRegistry() was called. */
  registry = '';

  get socket(): string {
    return join(this.directory, 'podman.sock');
  }

  get #env(): NodeJS.ProcessEnv {
    return {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      HOME: this.directory,
      XDG_RUNTIME_DIR: join(this.directory, 'run'),
      TMPDIR: join(this.directory, 'tmp'),
      CONTAINERS_CONF: this.#containersConf,
      CONTAINERS_REGISTRIES_CONF: this.#registriesConf,
      REGISTRY_AUTH_FILE: join(this.directory, 'auth.json'),
    };
  }

  get #flags(): readonly string[] {
    const at = (name: string): string => join(this.directory, name);
    return ['--root', at('root'), '--runroot', at('runroot'), '--tmpdir', at('engine'), '--storage-driver', 'overlay'];
  }

  /** Before the first start: the registries of the test have to be known to the engine then. */
  async startRegistry(options: { readonly withPassword?: boolean } = {}): Promise<void> {
    const port = await freePort();
    this.registry = `127.0.0.1:${port}`;
    const config = join(this.directory, 'registry.yml');
    const storage = join(this.directory, 'registry');
    mkdirSync(storage);
    writeFileSync(join(this.directory, 'htpasswd'), htpasswd);
    const auth = `auth: {htpasswd: {realm: weir, path: ${join(this.directory, 'htpasswd')}}}\n`;
    writeFileSync(
      config,
      `version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: ${storage}}}\n` +
        `http: {addr: "${this.registry}"}\n${options.withPassword === true ? auth : ''}`,
    );
    this.#registry = spawn('docker-registry', ['serve', config], { stdio: 'ignore' });
    await until('the registry answers', startMs, () => answers({ host: '127.0.0.1', port, path: '/v2/' }));
  }

  async stopRegistry(): Promise<void> {
    await ended(this.#registry);
    this.#registry = undefined;
  }

  /** `mirrors`: registries by name that the test's own one stands in for, each under a folder: `{ 'mcr.microsoft.com': 'mcr' }`. */
  async start(
    options: { readonly insecure?: readonly string[]; readonly mirrors?: Readonly<Record<string, string>> } = {},
  ): Promise<void> {
    for (const name of ['run', 'tmp', 'networks', 'engine']) mkdirSync(join(this.directory, name), { recursive: true });
    writeFileSync(join(this.directory, 'auth.json'), '{}');
    const insecure = [this.registry, ...(options.insecure ?? [])].filter((name) => name !== '');
    writeFileSync(
      this.#registriesConf,
      [
        'unqualified-search-registries = []',
        ...insecure.map((name) => `[[registry]]\nlocation = "${name}"\ninsecure = true`),
        ...Object.entries(options.mirrors ?? {}).map(
          ([name, folder]) =>
            `[[registry]]\nprefix = "${name}"\nlocation = "${this.registry}/${folder}"\ninsecure = true`,
        ),
      ].join('\n'),
    );
    writeFileSync(
      this.#containersConf,
      [
        '[containers]',
        'default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]',
        '[engine]',
        'runtime = "runc"',
        'cgroup_manager = "cgroupfs"',
        'events_logger = "file"',
        '[network]',
        'network_backend = "netavark"',
        `network_config_dir = "${join(this.directory, 'networks')}"`,
        `default_subnet = "10.${this.#net}.0.0/24"`,
        `default_subnet_pools = [{ base = "10.${this.#net}.0.0/16", size = 24 }]`,
      ].join('\n'),
    );
    await this.startService();
  }

  async startService(): Promise<void> {
    rmSync(this.socket, { force: true });
    this.#service = spawn('podman', [...this.#flags, 'system', 'service', '--time', '0', `unix://${this.socket}`], {
      stdio: 'ignore',
      env: this.#env,
    });
    await until('podman answers', startMs, () =>
      existsSync(this.socket) ? answers({ socketPath: this.socket, path: '/_ping' }) : undefined,
    );
  }

  /** Containers run on: each has a conmon of its own. */
  async stopService(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await ended(this.#service, signal);
    this.#service = undefined;
    rmSync(this.socket, { force: true });
  }

  /** Processor time that the service has taken so far. Ticks of 10 ms. */
  serviceCpuMs(): number {
    const stat = readFileSync(`/proc/${this.#service?.pid}/stat`, 'utf8');
    const [user, system] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 13);
    return (Number(user) + Number(system)) * 10;
  }

  /** podman's own command line on the same storage. */
  run(...args: readonly string[]): string {
    return execFileSync('podman', [...this.#flags, ...args], {
      env: this.#env,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  /** An image of busybox alone, under this name. */
  image(name: string, { changes = [], files = {} }: ImageOptions = {}): void {
    const root = mkdtempSync(join(this.directory, 'image-'));
    for (const folder of ['bin', 'tmp', 'etc']) mkdirSync(join(root, folder));
    copyFileSync('/bin/busybox', join(root, 'bin', 'busybox'));
    const links = applets.map((applet) => `ln -s busybox ${join(root, 'bin', applet)}`).join(' && ');
    execFileSync('sh', ['-c', links]);
    for (const [target, source] of Object.entries(files)) {
      mkdirSync(join(root, target, '..'), { recursive: true });
      copyFileSync(source, join(root, target));
    }
    const archive = join(this.directory, 'image.tar');
    execFileSync('tar', ['-C', root, '-cf', archive, '.']);
    this.run('import', ...changes.flatMap((change) => ['--change', change]), archive, name);
    rmSync(root, { recursive: true });
    rmSync(archive);
  }

  /** Makes an image, pushes it to the registry and removes it here: a pull has to fetch it. Answers its reference. */
  publish(repository: string, options: ImageOptions = {}): string {
    const reference = `${this.registry}/${repository}`;
    this.image(reference, options);
    this.run('push', '--tls-verify=false', '--creds', `${registryUser.username}:${registryUser.password}`, reference);
    this.run('rmi', reference);
    return reference;
  }

  async close(): Promise<void> {
    await ended(this.#service);
    if (existsSync(join(this.directory, 'root'))) {
      this.run('rm', '--all', '--force', '--time', '0');
      this.run('network', 'prune', '--force');
    }
    await this.stopRegistry();
    try {
      execFileSync('umount', ['-l', join(this.directory, 'root', 'overlay')], { stdio: 'ignore' });
    } catch {
      // Not mounted by this version.
    }
    rmSync(this.directory, wholeTree);
  }
}

async function ended(child: ChildProcess | undefined, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const over = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await over;
}

function answers(to: {
  readonly host?: string;
  readonly port?: number;
  readonly socketPath?: string;
  readonly path: string;
}): Promise<true | undefined> {
  return new Promise((resolve) => {
    const asking = request({ ...to, agent: false }, (answer) => {
      answer.resume();
      resolve(true);
    });
    asking.on('error', () => resolve(undefined));
    asking.end();
  });
}
