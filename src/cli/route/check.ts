// `weir route check "ROUTE"…` and `weir route check --manifest FILE`: is it a route, and does it say what was meant?
//
//   route  bad
//     FROM /messages/* WHERE temperature > 20 INTO $upstream
//                                        ^
//     character 36: `>` takes two operands of one type, here are text and a number. … write as_number(temperature).
//
// Exit code 1 when a route is bad. Advice changes nothing: the route is allowed, and hardly ever what was meant.

import type { CommandModule } from 'yargs';
import type { RouteJudgement, RouteSpec } from '../../router/index.ts';
import { type CliContext, type GlobalOptions, writeJson } from '../context.ts';
import { painted } from '../terminal.ts';
import { type GivenRoutes, givenRoutes } from './given-routes.ts';

interface CheckOptions extends GlobalOptions {
  readonly route: readonly string[] | undefined;
  readonly manifest: string | undefined;
  readonly json: boolean;
}

const exitFailed = 1;

export function routeCheckCommand(context: CliContext): CommandModule<GlobalOptions, CheckOptions> {
  return {
    command: 'check [route..]',
    describe: 'is it a route, and does it say what was meant',
    builder: (yargs) =>
      yargs
        .positional('route', { type: 'string', array: true, describe: 'the route, in quotes for the shell' })
        .option('manifest', { type: 'string', requiresArg: true, describe: 'all routes of a deployment manifest' })
        .option('json', { type: 'boolean', default: false, describe: 'for programs' })
        .example(`weir route check 'FROM /messages/* WHERE $body.t > 20 INTO $upstream'`, 'one route')
        .example('weir route check --manifest deployment.json', 'every route that it deploys'),
    handler: (options) => check(context, options),
  };
}

async function check(context: CliContext, options: CheckOptions): Promise<void> {
  const given = await givenRoutes(context, { texts: options.route ?? [], manifest: options.manifest });
  const { judgeRoutes } = await import('../../router/index.ts');
  const judgements = judgeRoutes(given.routes);
  const isBad = given.problems.length > 0 || judgements.some(({ problem }) => problem !== undefined);
  if (isBad) context.exit.code = exitFailed;
  if (options.json) return await writeJson(context, checkJson(given, judgements));
  const texts = judgements.map((judgement, at) => judgementText(context, judgement, given.routes[at] as RouteSpec));
  const others = given.problems.map(({ path, message }) => `${bad(context)}  ${path}: ${message}\n`);
  await context.terminal.write([...texts, ...others].join('') || 'The manifest has no routes.\n');
}

function checkJson({ routes, problems }: GivenRoutes, judgements: readonly RouteJudgement[]): object {
  return {
    ok: problems.length === 0 && judgements.every(({ problem }) => problem === undefined),
    routes: judgements.map(({ route, problem, sink, advice }, at) => ({
      name: route,
      text: routes[at]?.text,
      ok: problem === undefined,
      endpoint: sink,
      problem:
        problem === undefined ? undefined : { code: problem.code, column: problem.column, message: problem.message },
      advice,
    })),
    problems,
  };
}

function bad({ terminal }: CliContext): string {
  return painted(terminal, 'red', 'bad ');
}

function judgementText(context: CliContext, { route, problem, sink, advice }: RouteJudgement, spec: RouteSpec): string {
  const { terminal } = context;
  if (problem !== undefined) {
    const message = problem.message.replace(/^Route [^:]*: /, '');
    const pointed = problem.column === undefined ? '' : pointer(spec.text, problem.column);
    const where = problem.column === undefined ? '' : `character ${problem.column}: `;
    return `${bad(context)}  ${route}\n${pointed}  ${where}${message} [${problem.code}]\n`;
  }
  const head = `${painted(terminal, 'green', 'good')}  ${route} → ${sink}\n`;
  const notes = advice.map(
    ({ message, column }) => `${pointer(spec.text, column)}  ${painted(terminal, 'yellow', 'advice:')} ${message}\n`,
  );
  return `${head}${notes.join('')}`;
}

const windowCharacters = 70;

/** The route around the character, on one line, and a mark below it. */
function pointer(text: string, column: number): string {
  const start = column > windowCharacters ? column - windowCharacters / 2 : 0;
  const shown = text.slice(start, start + windowCharacters + windowCharacters / 2).replace(/\p{C}/gu, ' ');
  return `  ${start > 0 ? '…' : ''}${shown}\n  ${' '.repeat(column - 1 - start + (start > 0 ? 1 : 0))}^\n`;
}
