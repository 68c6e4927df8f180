import t from 'tap';
import { judgeCertificate, type ShownCertificate } from '../../../src/protocol/iothub/client-certificate.ts';

const sha1 = 'a'.repeat(40);
const sha256 = 'b'.repeat(64);
const identity = { deviceId: 'd', moduleId: 'm' };
const shown: ShownCertificate = {
  commonName: 'd/m',
  fingerprint: sha256,
  thumbprint: sha1,
  authorised: true,
  problem: undefined,
  validFromMs: 1000,
  validToMs: 2000,
};
const selfSigned = { kind: 'selfSigned', thumbprints: [sha1] } as const;
const byAuthority = { kind: 'certificateAuthority' } as const;

t.test('a certificate fits or does not, as the rule says', (t) => {
  const table = [
    ['by SHA-1', shown, selfSigned, 1500, undefined],
    ['by SHA-256', shown, { kind: 'selfSigned', thumbprints: ['c'.repeat(40), sha256] }, 1500, undefined],
    ['whoever issued it', { ...shown, authorised: false, problem: 'SELF_SIGNED' }, selfSigned, 1500, undefined],
    [
      'another thumbprint',
      shown,
      { kind: 'selfSigned', thumbprints: [sha256.slice(1)] },
      1500,
      /none of those of 'd\/m'/,
    ],
    ['no thumbprint at all', shown, { kind: 'selfSigned', thumbprints: [] }, 1500, /none of those/],
    ['none', undefined, selfSigned, 1500, /showed none/],
    ['from its first moment', shown, selfSigned, 1000, undefined],
    ['too early', shown, selfSigned, 999, /valid from/],
    ['too late', shown, selfSigned, 2000, /ended/],
    ['without a clock', shown, selfSigned, undefined, undefined],
    ['vouched for', shown, byAuthority, 1500, undefined],
    ['not vouched for', { ...shown, authorised: false, problem: 'SOME_PROBLEM' }, byAuthority, 1500, /SOME_PROBLEM/],
    ['for its device only', { ...shown, commonName: 'd' }, byAuthority, 1500, /for 'd', not for 'd\/m'/],
    ['without a name', { ...shown, commonName: '' }, byAuthority, 1500, /for ''/],
  ] as const;
  for (const [what, certificate, rule, nowMs, detail] of table) {
    const verdict = judgeCertificate(certificate, { rule, identity, ...(nowMs === undefined ? {} : { nowMs }) });
    t.match(verdict, detail === undefined ? { ok: true, expiresAtMs: 2000 } : { ok: false, detail }, what);
  }
  t.end();
});
