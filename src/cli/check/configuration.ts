// Checks of the configuration: the file, its secrets, the names and addresses in it.

import { type Config, formatNote } from '../../config/index.ts';
import { type Check, type CheckFacts, fail, ok, skip, type Verdict, warn } from './check.ts';

const keyBytesUsual = 32;
const hostnamePattern =
  /^(?=.{1,64}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/;

/** Runs with the configuration, or skips when there is none that can be used. */
function withConfig(run: (config: Config, facts: CheckFacts) => Promise<Verdict> | Verdict): Check['run'] {
  return (facts) =>
    facts.reading.config === undefined ? skip('there is no usable configuration') : run(facts.reading.config, facts);
}

export const configurationChecks: readonly Check[] = [
  {
    id: 'config-well-formed',
    group: 'configuration',
    title: 'the configuration can be used',
    run({ reading }) {
      if (reading.error?.code === 'CONFIG_MISSING')
        return fail(`${reading.path} does not exist`, 'Write one: weir config init');
      if (reading.error !== undefined)
        return fail(reading.error.message, `Edit ${reading.path}, then: weir config check`);
      const notes = reading.warnings.filter((note) => !note.mend.startsWith('chmod '));
      return notes.length === 0 ? ok(reading.path) : warn(notes.map(formatNote).join('\n'), `Edit ${reading.path}`);
    },
  },
  {
    id: 'config-permissions',
    group: 'configuration',
    title: 'keys cannot be read by others',
    run({ reading }) {
      if (reading.error?.code === 'CONFIG_MISSING' || reading.error?.code === 'CONFIG_UNREADABLE')
        return skip('there is no configuration that can be read');
      const open = reading.warnings.filter((note) => note.mend.startsWith('chmod '));
      return open.length === 0
        ? ok('only the owner reads them')
        : warn(open.map(formatNote).join('\n'), open.map((note) => note.mend).join('; '));
    },
  },
  {
    id: 'hostname',
    group: 'configuration',
    title: 'the host name is usable in certificates',
    run: withConfig(({ hostname }) => {
      if (!hostnamePattern.test(hostname))
        return fail(
          `'${hostname}' is not a host name (RFC 1035, at most 64 characters)`,
          'Set hostname in the configuration, or the name of the machine.',
        );
      if (hostname === 'localhost')
        return warn(
          "the host name is 'localhost'",
          'Set hostname in the configuration, so that other machines can use it.',
        );
      return ok(hostname);
    }),
  },
  {
    id: 'device-key-decodable',
    group: 'configuration',
    title: 'the key of the device is a key',
    run: withConfig(({ provisioning }) => {
      if (provisioning.source === 'none') return skip('no hub is configured');
      const bytes = Buffer.from(provisioning.deviceKeyBase64, 'base64').length;
      if (bytes < keyBytesUsual)
        return warn(
          `the key has ${bytes} bytes, less than the usual ${keyBytesUsual}`,
          'Compare it with the one at the hub.',
        );
      return ok(`${bytes} bytes`);
    }),
  },
  {
    id: 'listeners',
    group: 'configuration',
    title: 'the addresses for clients can be listened on',
    run: withConfig(async ({ listeners }, { machine, daemon }) => {
      const { tcp, tls, ws, wss } = listeners;
      const addresses = [tcp, tls, ws, wss].filter((address) => address !== undefined);
      if (addresses.length === 0) return ok('the unix socket alone');
      // Behind a proxy TLS may end there; nobody else is let in.
      const isOpen = (['tcp', 'ws'] as const).some((name) => {
        const host = listeners[name]?.host;
        return host !== undefined && !listeners.proxied.includes(name) && !/^(127\.|::1$|localhost$)/.test(host);
      });
      const mend = 'Stop the other program, or choose another address in [listeners].';
      for (const { host, port } of addresses) {
        if ('status' in daemon) {
          const reached = await machine.reachTcp({ host: dialable(host), port, timeoutMs: listenerTimeoutMs }).then(
            () => true,
            () => false,
          );
          if (!reached)
            return fail(
              `weir runs, but nobody listens on ${host}:${port}`,
              'See the log of weir; restart it after a change of [listeners].',
            );
        } else {
          const obstacle = await machine.listenObstacle({ host, port });
          if (obstacle !== undefined) return fail(`${host}:${port} cannot be listened on: ${obstacle}`, mend);
        }
      }
      if (isOpen) return warn('MQTT without TLS is open to other machines', 'Use tls, or a loopback address for tcp.');
      return ok(addresses.map(({ host, port }) => `${host}:${port}`).join(', '));
    }),
  },
];

const listenerTimeoutMs = 2_000;

function dialable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  return host === '::' ? '::1' : host;
}
