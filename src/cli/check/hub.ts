// Checks of the way to the hub: name, port, TLS. Each stands alone, so that the first that fails is the place.

import type { Config } from '../../config/index.ts';
import { errorMessage, WeirError } from '../../model/errors.ts';
import { durationText } from '../quantity-text.ts';
import { type Check, type CheckFacts, fail, ok, skip, type Verdict, warn } from './check.ts';

interface Target {
  readonly host: string;
  readonly port: number;
  readonly config: Config;
}

const networkTimeoutMs = 6_000;
const unreachedErrnos: readonly string[] = [
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
];
const expiryWarningMs = 604_800_000;

export const hubChecks: readonly Check[] = [
  {
    id: 'hub-resolve',
    group: 'hub',
    title: 'the name of the hub has an address',
    run: withHub(async ({ host }, { machine }) => {
      try {
        return ok(`${host} is ${(await machine.resolve(host)).join(', ')}`);
      } catch (error) {
        return fail(
          errorMessage(error),
          'Check the spelling of the host name, and the name servers in /etc/resolv.conf.',
        );
      }
    }),
  },
  {
    id: 'hub-tcp',
    group: 'hub',
    title: 'the port of the hub is reached',
    run: withHub(async ({ host, port }, { machine }) => {
      try {
        await machine.reachTcp({ host, port, timeoutMs: networkTimeoutMs });
        return ok(`${host}:${port}`);
      } catch (error) {
        return fail(
          errorMessage(error),
          `Let the firewall pass outgoing TCP to port ${port}, and see that the hub runs.`,
        );
      }
    }),
  },
  {
    id: 'hub-tls',
    group: 'hub',
    title: 'the certificate of the hub is trusted',
    run: withHub(inspectHub),
  },
];

function withHub(run: (target: Target, facts: CheckFacts) => Promise<Verdict>): Check['run'] {
  return (facts) => {
    const { config } = facts.reading;
    if (config === undefined) return skip('there is no usable configuration');
    if (config.provisioning.source === 'none') return skip('no hub is configured');
    const { gatewayHostname, hubHostname, hubPort } = config.provisioning;
    return run({ host: gatewayHostname ?? hubHostname, port: hubPort, config }, facts);
  };
}

async function inspectHub({ host, port, config }: Target, { machine, disk, clock }: CheckFacts): Promise<Verdict> {
  const authoritiesPem =
    config.trustBundleCert === undefined
      ? undefined
      : await disk.readTextIfPresent('check:trust-bundle', config.trustBundleCert);
  try {
    const found = await machine.inspectTls({ host, port, timeoutMs: networkTimeoutMs, authoritiesPem });
    const leftMs = found.notAfterMs - clock.wallMs();
    const about = `'${found.subject}', issued by '${found.issuer}'`;
    if (leftMs < 0)
      return fail(
        `the certificate ${about} expired ${durationText(-leftMs)} ago`,
        'Renew it at the hub, or set the clock of this machine.',
      );
    if (found.notBeforeMs > clock.wallMs())
      return fail(`the certificate ${about} is not valid yet`, 'Set the clock of this machine.');
    if (!found.isTrusted)
      return fail(`the certificate ${about} is not trusted: ${found.distrust}`, trustMend(config, found.distrust));
    if (leftMs < expiryWarningMs)
      return warn(`the certificate ${about} expires in ${durationText(leftMs)}`, 'Renew it at the hub.');
    return ok(`${about}, ${found.protocol}, for ${durationText(leftMs)}`);
  } catch (error) {
    // Nobody there: hub-resolve and hub-tcp tell it, once is enough.
    if (error instanceof WeirError && unreachedErrnos.includes(String(error.fields['errno'])))
      return skip('the port of the hub is not reached');
    return fail(errorMessage(error), `Is it MQTT over TLS that listens on port ${port}?`);
  }
}

function trustMend(config: Config, distrust: string | undefined): string {
  if (distrust === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'Use the host name that is in the certificate.';
  return config.trustBundleCert === undefined
    ? 'Set trust_bundle_cert to the PEM file of the authority that issued it.'
    : `Put the authority that issued it into ${config.trustBundleCert}.`;
}
