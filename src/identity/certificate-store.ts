// The certificates of this node on disk: its own authority, and the server certificate it shows to clients.
//
//   {directory}/authority.pem   0600  certificate, then private key
//   {directory}/server.pem      0600  chain leaf → authority, then private key
//   {directory}/authority.crt   0644  the authority's certificate alone: what clients are to trust
//
// Key and certificate share a file, so that one atomic write changes both. A file that cannot be used (damaged,
// key of another certificate) is set aside as `{name}.damaged` and replaced: the node always starts.
//
// Each certificate is renewed at 80 % of its life; `onRenewed` tells the listeners' owner to take the new context.
// A new authority means a new server certificate. A server certificate for other host names is replaced at start.
//
// The private keys leave only as an opaque TLS context and as the module certificates issued with them.

import { join } from 'node:path';
import { errorMessage } from '../model/errors.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Disk } from '../platform/disk.ts';
import type { Log } from '../platform/log.ts';
import type { TlsContext } from '../platform/net.ts';
import {
  certificateFacts,
  createAuthority,
  isPair,
  issueIdentityCertificate,
  issueServerCertificate,
  type KeyedCertificate,
} from './certificate.ts';
import { badCertificateError } from './errors.ts';
import type { CertificateTls } from './ports.ts';

export interface CertificateStorePorts {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly log: Log;
  readonly tlsContext: CertificateTls;
}

export interface CertificateStoreOptions {
  readonly directory: string;
  /** Must differ from every host name, or clients fail to build the chain. */
  readonly authorityName: string;
  /** DNS names and IP addresses under which clients reach this node. */
  readonly hostnames: readonly string[];
  readonly authorityDays?: number;
  readonly serverDays?: number;
  /** More anchors for the trust bundle, as PEM. */
  readonly extraTrustPem?: string | undefined;
}

export interface IssuedCertificate extends KeyedCertificate {
  readonly notAfterMs: number;
}

const authorityDaysDefault = 3650;
const serverDaysDefault = 90;
const moduleDays = 30;
const renewAtFraction = 0.8;
const checkIntervalMs = 3_600_000;
const privateMode = 0o600;
const publicMode = 0o644;
const directoryMode = 0o700;
const certificateBlock = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----\n?/g;
const keyBlock = /-----BEGIN PRIVATE KEY-----[\s\S]+?-----END PRIVATE KEY-----\n?/;

export class CertificateStore {
  readonly #ports: CertificateStorePorts;
  readonly #options: CertificateStoreOptions;
  readonly #log: Log;
  readonly #renewedListeners = new Set<() => void>();
  #authority: KeyedCertificate | undefined;
  #server: KeyedCertificate | undefined;
  #timer: Timer | undefined;
  #renewing: Promise<void> | undefined;
  #closed = false;

  constructor(ports: CertificateStorePorts, options: CertificateStoreOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#log = ports.log.child('certificates');
  }

  /** Loads both certificates, or makes what is missing, damaged or due. */
  async start(): Promise<void> {
    if (this.#authority !== undefined) return;
    const { disk } = this.#ports;
    await disk.makeDirectory('certificates:directory', this.#options.directory, directoryMode);
    await this.#refresh();
    this.#schedule();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#renewing;
  }

  /**
   * Keys and chain for a TLS listener, which asks its clients for a certificate and lets in also whoever has none: what
   * it is worth is decided later. `deviceAuthoritiesPem`: who issues to devices. Certificates by this node's own
   * authority, which modules have, prove nothing to it.
   */
  serverContext(deviceAuthoritiesPem?: string): TlsContext {
    const { certificatePem, privateKeyPem } = ready(this.#server);
    return this.#ports.tlsContext({
      certificatePem,
      privateKeyPem,
      clientCertificates: 'request',
      ...(deviceAuthoritiesPem === undefined ? {} : { authoritiesPem: deviceAuthoritiesPem }),
    });
  }

  /** The chain a client sees, leaf first. */
  serverCertificatePem(): string {
    return ready(this.#server).certificatePem;
  }

  authorityCertificatePem(): string {
    return ready(this.#authority).certificatePem;
  }

  /** Everything a module is to trust: the configured anchors and this node's authority. */
  trustBundle(): string {
    const extra = this.#options.extraTrustPem?.trim();
    return `${extra === undefined || extra === '' ? '' : `${extra}\n`}${this.authorityCertificatePem()}`;
  }

  /** A server certificate for a module: CN and SAN `commonName`, SAN the module's id as a host name. 30 days. */
  async issueServer(request: { readonly commonName: string; readonly moduleId: string }): Promise<IssuedCertificate> {
    const hostnames = [...new Set([request.commonName, hostLabel(request.moduleId)])].filter((name) => name !== '');
    const issued = await issueServerCertificate({
      authority: ready(this.#authority),
      hostnames,
      days: moduleDays,
      nowMs: this.#ports.clock.wallMs(),
    });
    return withEnd(issued);
  }

  /** A client certificate that names the module. 30 days. */
  async issueIdentity(request: { readonly moduleId: string; readonly uri: string }): Promise<IssuedCertificate> {
    const issued = await issueIdentityCertificate({
      authority: ready(this.#authority),
      commonName: request.moduleId,
      uri: request.uri,
      days: moduleDays,
      nowMs: this.#ports.clock.wallMs(),
    });
    return withEnd(issued);
  }

  /** Called after a new server certificate is in place. */
  onRenewed(listener: () => void): () => void {
    this.#renewedListeners.add(listener);
    return () => void this.#renewedListeners.delete(listener);
  }

  /** Replaces whatever is due. Resolves at once when nothing is. */
  renewIfDue(): Promise<void> {
    this.#renewing ??= this.#refresh().finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  #schedule(): void {
    if (this.#closed) return;
    const check = (): void => {
      this.renewIfDue()
        .catch((error: unknown) =>
          this.#log.error('cannot renew; trying again in an hour', { error: errorMessage(error) }),
        )
        .finally(() => this.#schedule());
    };
    this.#timer = this.#ports.clock.setTimer(checkIntervalMs, check, { background: true });
  }

  async #refresh(): Promise<void> {
    const { directory, authorityName, hostnames } = this.#options;
    const nowMs = this.#ports.clock.wallMs();
    const authorityPath = join(directory, 'authority.pem');
    const serverPath = join(directory, 'server.pem');
    let authority = this.#authority ?? (await this.#load(authorityPath));
    // By a clock that nobody vouches for nothing is replaced: whoever trusts the old authority would be locked out.
    const isOver = (found: KeyedCertificate): boolean => this.#ports.clock.wallTrusted() && isDue(found, nowMs);
    if (authority === undefined || isOver(authority)) {
      const days = this.#options.authorityDays ?? authorityDaysDefault;
      authority = await createAuthority({ commonName: authorityName, days, nowMs });
      await this.#save(authorityPath, authority);
      this.#log.info('new authority', { name: authorityName, days });
    }
    await this.#publishAnchor(authority);
    let server = this.#server ?? (await this.#load(serverPath));
    const fits = server?.certificatePem.endsWith(authority.certificatePem) === true && namesAre(server, hostnames);
    if (server === undefined || !fits || isOver(server)) {
      const days = this.#options.serverDays ?? serverDaysDefault;
      server = await issueServerCertificate({ authority, hostnames, days, nowMs });
      await this.#save(serverPath, server);
      this.#log.info('new server certificate', { names: hostnames.join(','), days });
    }
    const renewed = this.#server !== undefined && this.#server !== server;
    this.#authority = authority;
    this.#server = server;
    if (renewed) for (const listener of this.#renewedListeners) listener();
  }

  /** Written apart from authority.pem: a power cut between the two is mended at the next start. */
  async #publishAnchor({ certificatePem }: KeyedCertificate): Promise<void> {
    const { disk } = this.#ports;
    const path = join(this.#options.directory, 'authority.crt');
    if ((await disk.readTextIfPresent('certificates:anchor', path)) === certificatePem) return;
    await disk.writeFileAtomic('certificates:anchor', path, { data: certificatePem, mode: publicMode });
  }

  async #load(path: string): Promise<KeyedCertificate | undefined> {
    const { disk } = this.#ports;
    const text = await disk.readTextIfPresent('certificates:load', path);
    if (text === undefined) return undefined;
    const loaded: KeyedCertificate = {
      certificatePem: (text.match(certificateBlock) ?? []).join(''),
      privateKeyPem: keyBlock.exec(text)?.[0] ?? '',
    };
    if (isPair(loaded)) return loaded;
    await disk.rename('certificates:quarantine', path, `${path}.damaged`);
    this.#log.error('certificate file is damaged: set aside and replaced', { path: `${path}.damaged` });
    return undefined;
  }

  #save(path: string, { certificatePem, privateKeyPem }: KeyedCertificate): Promise<void> {
    const data = `${certificatePem}${privateKeyPem}`;
    return this.#ports.disk.writeFileAtomic('certificates:save', path, { data, mode: privateMode });
  }
}

function ready(certificate: KeyedCertificate | undefined): KeyedCertificate {
  if (certificate === undefined) throw badCertificateError('the certificate store has not been started');
  return certificate;
}

function withEnd(issued: KeyedCertificate): IssuedCertificate {
  return { ...issued, notAfterMs: certificateFacts(issued.certificatePem).notAfterMs };
}

/** 80 % of its life is over; a clock that stands before its birth is a reason to wait, not to renew. */
function isDue({ certificatePem }: KeyedCertificate, nowMs: number): boolean {
  const { notBeforeMs, notAfterMs } = certificateFacts(certificatePem);
  return nowMs >= notBeforeMs + (notAfterMs - notBeforeMs) * renewAtFraction;
}

function namesAre(server: KeyedCertificate, hostnames: readonly string[]): boolean {
  const names = certificateFacts(server.certificatePem).names.map((name) => name.replace(/^(DNS|IP Address):/, ''));
  return names.length === hostnames.length && hostnames.every((hostname) => names.includes(hostname));
}

/** `$edgeHub` → `edgehub`: what of a module id may stand in a host name. */
function hostLabel(moduleId: string): string {
  return moduleId
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^-+|-+$/g, '');
}
