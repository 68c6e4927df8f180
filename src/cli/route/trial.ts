// `weir route test`: a message in, and for each route whether it takes it, and why not.
//
//   yes  alarms → $upstream      source matches and the condition holds
//   no   hot → logger/inputs/in
//          `as_number(temperature) > 20` is false: temperature is '19'
//
// A body without --system contentType=… or contentEncoding=… is taken for JSON in UTF-8, and that is said: a sender
// that does not set them has messages whose body no condition looks into.

import type { CommandModule } from 'yargs';
import { errorMessage } from '../../model/errors.ts';
import { eventSources, type Message, type MessageKind } from '../../model/message.ts';
import type { RouteTrial } from '../../router/index.ts';
import { type CliContext, type GlobalOptions, writeJson } from '../context.ts';
import { CliError, UsageError } from '../errors.ts';
import { painted } from '../terminal.ts';
import { givenRoutes } from './given-routes.ts';

interface TestOptions extends GlobalOptions {
  readonly route: readonly string[] | undefined;
  readonly manifest: string | undefined;
  readonly source: string;
  readonly device: string;
  readonly property: readonly string[] | undefined;
  readonly system: readonly string[] | undefined;
  readonly body: string | undefined;
  readonly bodyFile: string | undefined;
  readonly json: boolean;
}

const gateway = 'gateway';
const list = { type: 'string', array: true, requiresArg: true, nargs: 1 } as const;

export function routeTestCommand(context: CliContext): CommandModule<GlobalOptions, TestOptions> {
  return {
    command: 'test [route..]',
    describe: 'which routes take a message, and why the others do not',
    // yargs gives dashed options in camel case, too; its types do not know.
    builder: (yargs) =>
      yargs
        .positional('route', { type: 'string', array: true, describe: 'the routes, in quotes for the shell' })
        .option('manifest', { type: 'string', requiresArg: true, describe: 'the routes of a deployment manifest' })
        .option('source', {
          type: 'string',
          requiresArg: true,
          demandOption: true,
          describe: 'of the message: /messages/modules/<module>/outputs/<output>, /messages for a device',
        })
        .option('device', { type: 'string', requiresArg: true, default: gateway, describe: 'id of the sending device' })
        .option('property', { ...list, describe: 'an application property, name=value; repeatable' })
        .option('system', { ...list, describe: 'a system property, name=value; repeatable' })
        .option('body', { type: 'string', requiresArg: true, describe: 'the body, as text' })
        .option('body-file', { type: 'string', requiresArg: true, describe: 'the body, from a file' })
        .option('json', { type: 'boolean', default: false, describe: 'for programs' })
        .example(
          `weir route test --manifest deployment.json --source /messages/modules/a/outputs/b --body '{"t":21}'`,
          'what a deployment does with it',
        )
        .example(
          `weir route test "FROM /messages/* WHERE kind = 'alarm' INTO \\$upstream" --source /messages --property kind=news`,
          'why one route does not take it',
        ) as never,
    handler: (options) => test(context, options),
  };
}

async function test(context: CliContext, options: TestOptions): Promise<void> {
  const given = await givenRoutes(context, { texts: options.route ?? [], manifest: options.manifest });
  const { message, assumed } = await readMessage(context, options);
  const { tryRoutes } = await import('../../router/index.ts');
  const trials = tryRoutes(given.routes, message, { deviceId: gateway });
  const endpoints = [...new Set(trials.filter(({ delivers }) => delivers).map(({ sink }) => sink as string))];
  if (options.json) {
    const routes = trials.map(({ route, sink, ...rest }) => ({ name: route, endpoint: sink, ...rest }));
    return await writeJson(context, { endpoints, routes, problems: given.problems, assumed });
  }
  const told =
    endpoints.length === 0 ? 'No route takes this message: it would be dropped.' : `Goes to ${endpoints.join(', ')}.`;
  const problems = given.problems.map(({ path, message: reason }) => `bad  ${path}: ${reason}\n`);
  const notes = assumed.length === 0 ? '' : `Assumed: ${assumed.join(', ')} (--system says otherwise).\n`;
  const lines = trials.map((trial) => trialText(context, trial));
  await context.terminal.write(`${lines.join('')}${problems.join('')}${notes}${told}\n`);
}

function trialText({ terminal }: CliContext, { route, sink, delivers, matches, reasons }: RouteTrial): string {
  const answer = delivers ? painted(terminal, 'green', 'yes ') : painted(terminal, matches ? 'yellow' : 'dim', 'no  ');
  const head = `${answer} ${route}${sink === undefined ? '' : ` → ${sink}`}`;
  if (delivers) return `${head}  ${reasons.join('; ')}\n`;
  return `${head}\n${reasons.map((reason) => `       ${reason}\n`).join('')}`;
}

async function readMessage(
  context: CliContext,
  options: TestOptions,
): Promise<{ readonly message: Message; readonly assumed: readonly string[] }> {
  const body = await readBody(context, options);
  const system = pairs('--system', options.system);
  const usual = { contentType: 'application/json', contentEncoding: 'utf-8' };
  const missing = Object.entries(usual).filter(([name]) => body !== undefined && !isIn(system, name));
  const message = {
    ...sourceOf(options.source, options.device),
    system: { ...system, ...Object.fromEntries(missing) },
    properties: pairs('--property', options.property),
    body: body ?? new Uint8Array(),
    enqueuedMs: context.clock.wallMs(),
  };
  return { message, assumed: missing.map(([name, value]) => `${name}=${value}`) };
}

function isIn(system: Readonly<Record<string, string>>, name: string): boolean {
  return Object.keys(system).some((key) => key.toLowerCase() === name.toLowerCase());
}

async function readBody(context: CliContext, { body, bodyFile }: TestOptions): Promise<Uint8Array | undefined> {
  if (bodyFile === undefined) return body === undefined ? undefined : Buffer.from(body);
  if (body !== undefined) throw new UsageError('Give --body or --body-file, not both.');
  return await context.disk.readFile('cli:body', bodyFile).catch((cause: unknown) => {
    throw new CliError('CLI_CANNOT_READ', `The file ${bodyFile} cannot be read: ${errorMessage(cause)}.`, cause);
  });
}

function sourceOf(source: string, deviceId: string): Pick<Message, 'kind' | 'sender' | 'output'> {
  const path = `${source.replace(/[/*\s]+$/, '')}/`;
  for (const [kind, known] of Object.entries(eventSources)) {
    if (known.toLowerCase() === path.toLowerCase()) return { kind: kind as MessageKind, sender: { deviceId } };
  }
  const [, moduleId, output] = /^\/messages(?:\/modules\/([^/]+)(?:\/outputs\/([^/]+))?)?\/$/i.exec(path) ?? [
    undefined,
  ];
  if (!/^\/messages\/(?:modules\/[^/]+\/(?:outputs\/[^/]+\/)?)?$/i.test(path))
    throw new UsageError(
      `--source ${source} is none that a message has: write /messages, /messages/modules/<module>/outputs/<output>, ${Object.values(eventSources).join(' or ')}.`,
    );
  return { sender: moduleId === undefined ? { deviceId } : { deviceId, moduleId }, output };
}

function pairs(option: string, given: readonly string[] | undefined): Readonly<Record<string, string>> {
  return Object.fromEntries(
    (given ?? []).map((pair) => {
      const equals = pair.indexOf('=');
      if (equals < 1) throw new UsageError(`${option} ${pair}: write name=value.`);
      return [pair.slice(0, equals), pair.slice(equals + 1)];
    }),
  );
}
