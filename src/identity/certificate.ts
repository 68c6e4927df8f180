// X.509: an authority of this gateway's own, and the certificates it issues. The only user of node-forge.
//
//   authority  CA, path length 0 (it issues leaves only), keyCertSign + cRLSign, self-signed
//   server     EKU serverAuth, SAN DNS and IP entries, chain leaf → authority
//   identity   EKU clientAuth, SAN URI azureiot://{hub}/devices/{d}/modules/{m}, chain leaf → authority
//
// RSA 2048 with SHA-256, because every client and every board's TLS stack knows it. node-forge lays out the
// certificate; keys are made and signatures computed by node:crypto, off the event loop where it counts: the
// same in JavaScript takes seconds on a Pi Zero, while the broker waits.
//
// node-forge is loaded when the first certificate is made: ten megabytes that a node whose certificates are in
// order never spends.
//
// A certificate is valid from a day before its birth, because clocks of boards without a battery lag.
// The serial number is a hash of the public key, so it needs no counter and no other randomness.

import { createHash, createPrivateKey, generateKeyPair, sign, X509Certificate } from 'node:crypto';
import type forge from 'node-forge';
import { badCertificateError } from './errors.ts';

/** PEM texts. The certificate may be a chain, leaf first. */
export interface KeyedCertificate {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

export interface CertificateFacts {
  readonly subject: string;
  readonly issuer: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly isAuthority: boolean;
  /** Subject alternative names: `DNS:gw.local`, `IP Address:10.0.0.7`, `URI:…`. */
  readonly names: readonly string[];
  /** SHA-256 over the DER, hexadecimal with colons. */
  readonly fingerprint: string;
}

const rsaBits = 2048;
const serialBytes = 16;
const commonNameMax = 64;
const msPerDay = 86_400_000;
const backdateMs = msPerDay;
const sanUri = 6;
const sanDns = 2;
const sanIp = 7;

export async function createAuthority(options: {
  readonly commonName: string;
  readonly days: number;
  readonly nowMs: number;
}): Promise<KeyedCertificate> {
  const keys = await newKeys();
  const subject = subjectOf(options.commonName);
  const certificatePem = build(await loadForge(), {
    keys,
    subject,
    issuer: { subject, privateKeyPem: keys.privateKeyPem, authorityKeyPem: keys.publicKeyPem },
    notBeforeMs: options.nowMs - backdateMs,
    notAfterMs: options.nowMs + options.days * msPerDay,
    extensions: [
      { name: 'basicConstraints', critical: true, cA: true, pathLenConstraint: 0 },
      { name: 'keyUsage', critical: true, keyCertSign: true, cRLSign: true, digitalSignature: true },
    ],
  });
  return { certificatePem, privateKeyPem: keys.privateKeyPem };
}

/** A certificate for TLS servers. It never outlives the authority. `hostnames`: DNS names and IP addresses; the first is the CN. */
export async function issueServerCertificate(options: {
  readonly authority: KeyedCertificate;
  readonly hostnames: readonly string[];
  readonly days: number;
  readonly nowMs: number;
}): Promise<KeyedCertificate> {
  const altNames = options.hostnames.map((name) =>
    isIpAddress(name) ? { type: sanIp, ip: name } : { type: sanDns, value: name },
  );
  return issueLeaf({
    ...options,
    commonName: options.hostnames[0] ?? 'weir',
    altNames,
    usage: { serverAuth: true },
  });
}

/** A certificate by which a module proves who it is. `uri`: azureiot://{hub}/devices/{d}/modules/{m}. */
export async function issueIdentityCertificate(options: {
  readonly authority: KeyedCertificate;
  readonly commonName: string;
  readonly uri: string;
  readonly days: number;
  readonly nowMs: number;
}): Promise<KeyedCertificate> {
  return issueLeaf({
    ...options,
    altNames: [{ type: sanUri, value: options.uri }],
    usage: { clientAuth: true },
  });
}

/** Of the first certificate in `pem`. Throws IDENTITY_CERTIFICATE_INVALID. */
export function certificateFacts(pem: string): CertificateFacts {
  const certificate = readCertificate(pem);
  return {
    subject: certificate.subject,
    issuer: certificate.issuer,
    notBeforeMs: Date.parse(certificate.validFrom),
    notAfterMs: Date.parse(certificate.validTo),
    isAuthority: certificate.ca,
    names: certificate.subjectAltName?.split(', ') ?? [],
    fingerprint: certificate.fingerprint256,
  };
}

/** True when the private key belongs to the (first) certificate. */
export function isPair({ certificatePem, privateKeyPem }: KeyedCertificate): boolean {
  try {
    return readCertificate(certificatePem).checkPrivateKey(createPrivateKey(privateKeyPem));
  } catch {
    return false;
  }
}

function readCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw badCertificateError('it is no PEM text of an X.509 certificate', cause);
  }
}

interface KeyPair {
  readonly publicKeyPem: string;
  readonly privateKeyPem: string;
}

function newKeys(): Promise<KeyPair> {
  return new Promise((resolve, reject) => {
    const encodings = {
      modulusLength: rsaBits,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    } as const;
    generateKeyPair('rsa', encodings, (error, publicKeyPem, privateKeyPem) => {
      if (error === null) resolve({ publicKeyPem, privateKeyPem });
      else reject(error);
    });
  });
}

interface LeafOptions {
  readonly authority: KeyedCertificate;
  readonly commonName: string;
  readonly altNames: readonly object[];
  readonly usage: { readonly serverAuth?: boolean; readonly clientAuth?: boolean };
  readonly days: number;
  readonly nowMs: number;
}

async function issueLeaf({
  authority,
  commonName,
  altNames,
  usage,
  days,
  nowMs,
}: LeafOptions): Promise<KeyedCertificate> {
  const keys = await newKeys();
  const forge = await loadForge();
  const issuer = forge.pki.certificateFromPem(authority.certificatePem);
  const leafPem = build(forge, {
    keys,
    subject: subjectOf(commonName),
    issuer: {
      subject: issuer.subject.attributes,
      privateKeyPem: authority.privateKeyPem,
      authorityKeyPem: forge.pki.publicKeyToPem(issuer.publicKey),
    },
    notBeforeMs: nowMs - backdateMs,
    notAfterMs: Math.min(nowMs + days * msPerDay, issuer.validity.notAfter.getTime()),
    extensions: [
      { name: 'basicConstraints', critical: true, cA: false },
      { name: 'keyUsage', critical: true, digitalSignature: true, keyEncipherment: true },
      { name: 'extKeyUsage', ...usage },
      { name: 'subjectAltName', altNames },
    ],
  });
  return { certificatePem: `${leafPem}${authority.certificatePem}`, privateKeyPem: keys.privateKeyPem };
}

type Forge = typeof forge;

async function loadForge(): Promise<Forge> {
  return (await import('node-forge')).default;
}

interface CertificatePlan {
  readonly keys: KeyPair;
  readonly subject: forge.pki.CertificateField[];
  readonly issuer: {
    readonly subject: forge.pki.CertificateField[];
    readonly privateKeyPem: string;
    readonly authorityKeyPem: string;
  };
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly extensions: readonly object[];
}

function build(forge: Forge, plan: CertificatePlan): string {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(plan.keys.publicKeyPem);
  certificate.serialNumber = serialOf(plan.keys.publicKeyPem);
  certificate.validity.notBefore = new Date(plan.notBeforeMs);
  certificate.validity.notAfter = new Date(plan.notAfterMs);
  certificate.setSubject(plan.subject);
  certificate.setIssuer(plan.issuer.subject);
  const authorityKey = forge.pki.publicKeyFromPem(plan.issuer.authorityKeyPem);
  certificate.setExtensions([
    ...plan.extensions,
    { name: 'subjectKeyIdentifier' },
    {
      name: 'authorityKeyIdentifier',
      keyIdentifier: forge.pki.getPublicKeyFingerprint(authorityKey).getBytes(),
    },
  ]);
  // node-forge hands its key a digest; node:crypto wants the signed text, which is there by then.
  const signer = {
    sign: (): string => {
      const signedText = forge.asn1.toDer(certificate.tbsCertificate as forge.asn1.Asn1).getBytes();
      return sign('sha256', Buffer.from(signedText, 'latin1'), plan.issuer.privateKeyPem).toString('latin1');
    },
  };
  certificate.sign(signer as unknown as forge.pki.rsa.PrivateKey, forge.md.sha256.create());
  return forge.pki.certificateToPem(certificate).replaceAll('\r\n', '\n');
}

/** A positive number: its first byte is below 0x80 and above 0. */
function serialOf(publicKeyPem: string): string {
  const hash = createHash('sha256')
    .update(publicKeyPem)
    .digest('hex')
    .slice(2, serialBytes * 2);
  return `5e${hash}`;
}

function subjectOf(commonName: string): forge.pki.CertificateField[] {
  return [{ name: 'commonName', value: commonName.slice(0, commonNameMax) }];
}

function isIpAddress(name: string): boolean {
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(name) || name.includes(':');
}
