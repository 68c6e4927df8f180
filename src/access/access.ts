// The password file and the ACL file of one broker: read at the start, read again when somebody says so.
//
//   load() ─► Credentials, AclAuthoriser          refused with every mistake and its line
//   reload() ─► both replaced, or neither         mistakes are logged, the old rules stay
//
// A reload changes both files' rules in one step, so that a user and the rules about it appear together. It tells
// whose credentials do not hold any more; ending their connections is the owner's business.

import { accessFileBytesMax } from '../limits.ts';
import { errorMessage } from '../model/errors.ts';
import type { Disk } from '../platform/disk.ts';
import { AclAuthoriser } from './acl-authoriser.ts';
import { type AclRules, parseAclFile } from './acl-file.ts';
import { Credentials } from './credentials.ts';
import { DeniedLog } from './denied-log.ts';
import { AccessError, type AccessErrorCode, type FileProblem, fileInvalid } from './errors.ts';
import { parsePasswordFile } from './password-file.ts';
import type { PasswordHash } from './password-hash.ts';
import type { AccessPorts } from './ports.ts';

export interface AccessOptions {
  readonly passwordFile: string | undefined;
  readonly aclFile: string | undefined;
  /** Whether a client without proven name may come in through this listener. */
  allowsAnonymous(listener: string): boolean;
  readonly certificateIsUser: boolean;
}

interface Loaded {
  readonly users: ReadonlyMap<string, PasswordHash> | undefined;
  readonly acl: AclRules | undefined;
}

const worldBits = 0o007;
const cacheKeyBytes = 32;

export class Access {
  readonly credentials: Credentials;
  readonly authoriser: AclAuthoriser;
  readonly #ports: AccessPorts;
  readonly #options: AccessOptions;
  #users: ReadonlyMap<string, PasswordHash> | undefined;

  private constructor(ports: AccessPorts, options: AccessOptions, { users, acl }: Loaded) {
    this.#ports = ports;
    this.#options = options;
    this.#users = users;
    const { clock, log, metrics, entropy } = ports;
    const deniedLog = new DeniedLog(clock, log);
    this.credentials = new Credentials(
      { clock, metrics, cacheKey: entropy.bytes(cacheKeyBytes) },
      { ...ruleOptions(options), users },
    );
    this.authoriser = new AclAuthoriser(acl, (what, subject, topic) => deniedLog.denied(what, subject, topic));
  }

  /** Throws AccessError with all mistakes of the first file that has some. */
  static async load(ports: AccessPorts, options: AccessOptions): Promise<Access> {
    return new Access(ports, options, await readFiles(ports, options));
  }

  /** The users whose credentials are gone or changed; undefined when a file cannot be used and the old rules stay. */
  async reload(): Promise<ReadonlySet<string> | undefined> {
    const { log } = this.#ports;
    let loaded: Loaded;
    try {
      loaded = await readFiles(this.#ports, this.#options);
    } catch (error) {
      for (const line of errorMessage(error).split('\n')) log.error('the old rules stay', { reason: line });
      return undefined;
    }
    const { users, acl } = loaded;
    const changed = new Set<string>();
    for (const [user, { text }] of this.#users ?? []) if (users?.get(user)?.text !== text) changed.add(user);
    this.#users = users;
    this.credentials.replace({ ...ruleOptions(this.#options), users });
    this.authoriser.replace(acl);
    log.info('the rules were read anew', { users: users?.size, userSections: acl?.users.size, changed: changed.size });
    return changed;
  }
}

function ruleOptions({ allowsAnonymous, certificateIsUser }: AccessOptions) {
  return { allowsAnonymous, certificateIsUser };
}

async function readFiles(ports: AccessPorts, { passwordFile, aclFile }: AccessOptions): Promise<Loaded> {
  const { disk, log } = ports;
  const passwords =
    passwordFile === undefined
      ? undefined
      : await readRules(disk, passwordFile, { parse: parsePasswordFile, code: 'ACCESS_PASSWORD_FILE_INVALID' });
  const acl =
    aclFile === undefined
      ? undefined
      : await readRules(disk, aclFile, { parse: parseAclFile, code: 'ACCESS_ACL_FILE_INVALID' });
  if (passwordFile !== undefined) {
    const facts = await disk.facts('access:facts', passwordFile);
    if (facts !== undefined && (facts.mode & worldBits) !== 0)
      log.warn('everybody on this machine can read the password file: chmod 600 it', { path: passwordFile });
  }
  return { users: passwords?.users, acl };
}

async function readRules<Rules extends { readonly problems: readonly FileProblem[] }>(
  disk: Disk,
  path: string,
  { parse, code }: { readonly parse: (text: string) => Rules; readonly code: AccessErrorCode },
): Promise<Rules> {
  const rules = parse(await readAccessFile(disk, path));
  if (rules.problems.length > 0) throw fileInvalid(code, path, rules.problems);
  return rules;
}

/** Throws ACCESS_FILE_UNREADABLE. */
export async function readAccessFile(disk: Disk, path: string, bytesMax = accessFileBytesMax): Promise<string> {
  const unreadable = (why: string, cause?: unknown): AccessError =>
    new AccessError('ACCESS_FILE_UNREADABLE', `The file ${path} cannot be used: ${why}`, { cause });
  let text: string | undefined;
  try {
    const facts = await disk.facts('access:facts', path);
    if (facts?.isDirectory === true) throw unreadable('it is a directory.');
    if (facts !== undefined && facts.bytes > bytesMax) throw unreadable(`it is larger than ${bytesMax} bytes.`);
    text = await disk.readTextIfPresent('access:read', path);
  } catch (cause) {
    if (cause instanceof AccessError) throw cause;
    throw unreadable(`${errorMessage(cause)}. Let the user that runs weir read it.`, cause);
  }
  if (text === undefined) throw unreadable('there is no such file. Correct the path, or create it.');
  return text;
}
