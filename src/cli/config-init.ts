// Writes config.toml and weir.service from the texts in assets/.
//
// Placeholders (@NAME@) stand on lines of their own; a value that was not given leaves a commented example, so
// the file always parses. The configuration is 0600 because it may hold a key.

import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { errorMessage } from '../model/errors.ts';
import { parseConnectionString } from '../protocol/iothub/connection-string.ts';
import type { CliContext, GlobalOptions } from './context.ts';
import { CliError, UsageError } from './errors.ts';

export interface ConfigInit extends GlobalOptions {
  readonly dir: string | undefined;
  readonly unitDir: string | undefined;
  readonly connectionString: string | undefined;
  readonly trustBundle: string | undefined;
  readonly force: boolean;
}

const defaultDirectory = '/etc/weir';
const systemdDirectory = '/etc/systemd/system';
const trustBundleName = 'hub-ca.pem';
const privateFileMode = 0o600;
const publicFileMode = 0o644;
const directoryMode = 0o750;

export async function writeConfigFiles(context: CliContext, options: ConfigInit): Promise<void> {
  const { embeddedText } = await import('../platform/native.ts');
  const configPath = resolve(
    options.dir === undefined
      ? (options.config ?? join(defaultDirectory, 'config.toml'))
      : join(options.dir, 'config.toml'),
  );
  const directory = dirname(configPath);
  const unitDirectory = resolve(options.unitDir ?? (directory === defaultDirectory ? systemdDirectory : directory));
  const unitPath = join(unitDirectory, 'weir.service');
  checkConnectionString(options.connectionString);
  const bundle = await readTrustBundle(context, options.trustBundle);
  for (const path of [configPath, unitPath]) await refuseOverwrite(context, { path, force: options.force });

  const isSystem = directory === defaultDirectory;
  await writing(directory, () =>
    context.disk.makeDirectory('cli:config-directory', directory, isSystem ? directoryMode : undefined),
  );
  if (bundle !== undefined)
    await write(context, { path: join(directory, trustBundleName), text: bundle, mode: publicFileMode });
  const config = fillConfig(embeddedText('config.toml'), {
    ...options,
    bundlePath: bundle === undefined ? undefined : join(directory, trustBundleName),
    hasOwnUsers: isSystem,
  });
  await write(context, { path: configPath, text: config, mode: privateFileMode });
  const unit = fillUnit(embeddedText('weir.service'), { executable: context.processes.executable, configPath });
  await writing(unitDirectory, () => context.disk.makeDirectory('cli:unit-directory', unitDirectory));
  await write(context, { path: unitPath, text: unit, mode: publicFileMode });
  await context.terminal.write(
    nextSteps({ configPath, unitPath, hasIdentity: options.connectionString !== undefined }),
  );
}

/** The configuration with the given values in the place of its examples. */
export function fillConfig(
  template: string,
  values: Pick<ConfigInit, 'connectionString' | 'dataDir' | 'runDir'> & {
    readonly bundlePath: string | undefined;
    /** Modules get users of their own: where weir is a service of the system, which root runs. */
    readonly hasOwnUsers: boolean;
  },
): string {
  const provisioning =
    values.connectionString === undefined
      ? '# source = "manual"\n# connection_string = "HostName=hub.example;DeviceId=gateway-1;SharedAccessKey=…"'
      : `source = "manual"\nconnection_string = ${tomlText(values.connectionString)}`;
  const bundle =
    values.bundlePath === undefined
      ? '# trust_bundle_cert = "file:///etc/weir/hub-ca.pem"\n'
      : `trust_bundle_cert = ${tomlText(`file://${encodeURI(values.bundlePath)}`)}\n`;
  const directory = (key: string, given: string | undefined, usual: string): string =>
    given === undefined ? `# ${key} = "${usual}"\n` : `${key} = ${tomlText(resolve(given))}\n`;
  const directories = `${directory('data_dir', values.dataDir, '/var/lib/weir')}${directory('run_dir', values.runDir, '/run/weir')}`;
  return template
    .replace('@TRUST_BUNDLE@\n', () => `${bundle}\n`)
    .replace('@FIRST_UID@\n', () => `${values.hasOwnUsers ? '' : '# '}first_uid = 64000\n`)
    .replace('@DIRECTORIES@\n', () => `${directories}\n`)
    .replace('@PROVISIONING@\n', () => `${provisioning}\n`);
}

/** The unit for this executable and this configuration. */
export function fillUnit(
  template: string,
  { executable, configPath }: { readonly executable: string; readonly configPath: string },
): string {
  const isUsual = configPath === join(defaultDirectory, 'config.toml');
  const command = [executable, 'run', ...(isUsual ? [] : ['--config', configPath])];
  return template.replace('@COMMAND@', () => command.map(unitWord).join(' '));
}

/** systemd.service(5): words in double quotes, with C escapes; % begins a specifier, $ a variable. */
function unitWord(word: string): string {
  const escaped = word.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /[\s"'\\]/.test(escaped) ? JSON.stringify(escaped) : escaped;
}

/** A TOML basic string: JSON's escapes are a subset of TOML's. */
function tomlText(text: string): string {
  return JSON.stringify(text);
}

function checkConnectionString(text: string | undefined): void {
  if (text === undefined) return;
  const parsed = parseConnectionString(text);
  if (!parsed.ok) throw new UsageError(`--connection-string cannot be used: ${parsed.reason}.`);
  if (parsed.sharedAccessKey === undefined) throw new UsageError('--connection-string has no SharedAccessKey.');
  if (parsed.moduleId !== undefined) throw new UsageError('--connection-string is for a module, not for a device.');
}

async function readTrustBundle(context: CliContext, path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const text = await context.disk.readTextIfPresent('cli:trust-bundle', path).catch((cause: unknown) => {
    throw new CliError('CLI_CANNOT_READ', `${path} cannot be read: ${errorMessage(cause)}.`, cause);
  });
  if (text === undefined) throw new CliError('CLI_CANNOT_READ', `${path} does not exist.`);
  if (!text.includes('-----BEGIN CERTIFICATE-----'))
    throw new CliError('CLI_CANNOT_READ', `${path} holds no PEM certificate.`);
  return text;
}

async function refuseOverwrite(
  context: CliContext,
  { path, force }: { readonly path: string; readonly force: boolean },
): Promise<void> {
  const existing = await context.disk.facts('cli:existing', path);
  if (existing !== undefined && !force) {
    throw new CliError(
      'CLI_FILE_EXISTS',
      `${path} exists already. Write over it with --force (the old one is kept as ${basename(path)}.bak).`,
    );
  }
}

async function write(
  context: CliContext,
  { path, text, mode }: { readonly path: string; readonly text: string; readonly mode: number },
): Promise<void> {
  await writing(path, async () => {
    const old = await context.disk.readTextIfPresent('cli:old-file', path);
    if (old === text) return;
    if (old !== undefined) await context.disk.writeFileAtomic('cli:backup', `${path}.bak`, { data: old, mode });
    await context.disk.writeFileAtomic('cli:config-file', path, { data: text, mode });
  });
}

async function writing(path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    throw new CliError(
      'CLI_CANNOT_WRITE',
      `${path} cannot be written: ${errorMessage(cause)}. Run as root, or choose another place with --dir.`,
      cause,
    );
  }
}

function nextSteps({
  configPath,
  unitPath,
  hasIdentity,
}: {
  readonly configPath: string;
  readonly unitPath: string;
  readonly hasIdentity: boolean;
}): string {
  const isUsual = configPath === join(defaultDirectory, 'config.toml');
  const option = isUsual ? '' : ` --config ${configPath}`;
  const identity = hasIdentity
    ? ''
    : `  edit ${configPath}            (connection_string: who this gateway is at the hub)\n`;
  const start =
    isAbsolute(unitPath) && unitPath.startsWith(`${systemdDirectory}/`)
      ? '  systemctl daemon-reload && systemctl enable --now weir\n'
      : `  weir run${option}\n`;
  return `Written: ${configPath}\n         ${unitPath}\n\nNext:\n${identity}  weir check${option}\n${start}`;
}
