// `weir hub twin update D [M]` and `weir hub twin replace D [M]`: desired properties and tags, from the command line or a
// file in the shape that `twin show` writes.
//
// update merges (null deletes), replace puts whole sections in the place of the old ones; a section that is not named
// stays. With --etag, as shown by `twin show`, nothing changes when somebody else was faster.

import type { Argv, CommandModule } from 'yargs';
import { errorMessage } from '../../model/errors.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../../model/json.ts';
import { type CliContext, writeJson } from '../context.ts';
import { CliError, UsageError } from '../errors.ts';
import { HubClient, type HubClientOptions } from './hub-client.ts';

export interface TwinChangeOptions extends HubClientOptions {
  readonly device: string | undefined;
  readonly module: string | undefined;
  readonly desired: string | undefined;
  readonly tags: string | undefined;
  readonly file: string | undefined;
  readonly etag: string | undefined;
  readonly json: boolean;
}

type Verb = 'update' | 'replace';

export function twinUpdateCommand(context: CliContext): CommandModule<HubClientOptions, TwinChangeOptions> {
  return twinChangeCommand(context, 'update', 'merge into desired properties or tags; null deletes');
}

export function twinReplaceCommand(context: CliContext): CommandModule<HubClientOptions, TwinChangeOptions> {
  return twinChangeCommand(context, 'replace', 'put whole desired properties or tags in the place of the old ones');
}

/** `/twins/{d}[/modules/{m}]`. Throws UsageError without a device. */
export function twinPath(
  { device, module }: { readonly device: string | undefined; readonly module: string | undefined },
  verb: string,
): string {
  if (device === undefined) throw new UsageError(`Name the device: weir hub twin ${verb} <device> [module]`);
  const path = `/twins/${encodeURIComponent(device)}`;
  return module === undefined ? path : `${path}/modules/${encodeURIComponent(module)}`;
}

function twinChangeCommand(
  context: CliContext,
  verb: Verb,
  describe: string,
): CommandModule<HubClientOptions, TwinChangeOptions> {
  return {
    command: `${verb} [device] [module]`,
    describe,
    builder: (yargs) =>
      changeOptions(yargs).example(
        `weir hub twin ${verb} gw-7 pump --desired '{"period":5}'`,
        verb === 'update' ? 'the rest stays' : 'nothing else stays',
      ) as unknown as Argv<TwinChangeOptions>,
    handler: (options) => change(context, verb, options),
  };
}

function changeOptions(yargs: Argv<HubClientOptions>): Argv<HubClientOptions> {
  return yargs
    .positional('device', { type: 'string', describe: 'also as --device' })
    .positional('module', { type: 'string', describe: "also as --module; quote '$edgeHub'" })
    .option('desired', { type: 'string', requiresArg: true, describe: 'desired properties, as JSON' })
    .option('tags', { type: 'string', requiresArg: true, describe: 'tags, as JSON' })
    .option('file', { type: 'string', requiresArg: true, describe: 'a twin as a JSON file: its desired and tags' })
    .option('etag', { type: 'string', requiresArg: true, describe: 'only when the twin still has this etag' })
    .option('json', { type: 'boolean', default: false, describe: 'the twin as it is then' });
}

async function change(context: CliContext, verb: Verb, options: TwinChangeOptions): Promise<void> {
  const path = twinPath(options, verb);
  const body = await readChange(context, options);
  const twin = await new HubClient(context, options).objectWith({
    method: verb === 'update' ? 'PATCH' : 'PUT',
    path,
    body: JSON.stringify(body),
    headers: { 'if-match': options.etag === undefined ? '*' : `"${options.etag}"` },
  });
  if (options.json) return await writeJson(context, twin);
  const properties = twin['properties'];
  const desired = isJsonObject(properties) && isJsonObject(properties['desired']) ? properties['desired'] : {};
  const who = [options.device, options.module].filter((name) => name !== undefined).join('/');
  await context.terminal.write(
    `${who}: desired version ${String(desired['$version'])}, etag ${String(twin['etag'])}\n`,
  );
}

async function readChange(context: CliContext, options: TwinChangeOptions): Promise<JsonObject> {
  const { desired, tags, file } = options;
  const named = desired !== undefined || tags !== undefined;
  if (named === (file !== undefined))
    throw new UsageError('Say what changes: --desired and --tags as JSON, or --file twin.json.');
  if (file !== undefined) return sectionsOf(file, await readJson(context, file));
  return {
    ...(tags === undefined ? {} : { tags: sectionOf('--tags', tags) }),
    ...(desired === undefined ? {} : { properties: { desired: sectionOf('--desired', desired) } }),
  };
}

function sectionsOf(file: string, twin: JsonValue): JsonObject {
  const properties = isJsonObject(twin) ? twin['properties'] : undefined;
  const desired = isJsonObject(properties) ? properties['desired'] : undefined;
  const tags = isJsonObject(twin) ? twin['tags'] : undefined;
  if (desired === undefined && tags === undefined)
    throw new CliError(
      'CLI_CANNOT_READ',
      `${file} holds neither tags nor properties.desired. Start from: weir hub twin show <device> > ${file}`,
    );
  return {
    ...(tags === undefined ? {} : { tags }),
    ...(desired === undefined ? {} : { properties: { desired } }),
  };
}

function sectionOf(option: string, text: string): JsonObject {
  const parsed = parseJson(text);
  if (!parsed.ok) throw new UsageError(`${option} is not JSON: ${parsed.reason}.`);
  if (!isJsonObject(parsed.value)) throw new UsageError(`${option} must be a JSON object, such as '{"period":5}'.`);
  return parsed.value;
}

async function readJson(context: CliContext, file: string): Promise<JsonValue> {
  const text = await context.disk.readFile('cli:twin', file).catch((cause: unknown) => {
    throw new CliError('CLI_CANNOT_READ', `The twin ${file} cannot be read: ${errorMessage(cause)}.`, cause);
  });
  const parsed = parseJson(text.toString('utf8'));
  if (!parsed.ok) throw new CliError('CLI_CANNOT_READ', `The twin ${file} is not JSON: ${parsed.reason}.`);
  return parsed.value;
}
