// Plays cases, and sets statements, cases and outcomes side by side.

import { conformanceCases } from './cases/index.ts';
import type { ConformanceCase } from './script.ts';
import { type OpenStage, openStage, type StageKind } from './stage.ts';
import type { Statement } from './statement.ts';
import { statements } from './statements.ts';

export interface Outcome {
  readonly passed: boolean;
  /** The step that went wrong, and what was wrong with it. */
  readonly detail: string;
}

/** `[MQTT-3.1.0-1] the first packet is CONNECT (5.0)` */
export function title({ clauses, name, version }: ConformanceCase): string {
  return `${clauses.map((clause) => `[${clause}]`).join(' ')} ${name} (${version})`;
}

export async function play({ broker, steps }: ConformanceCase, kind: StageKind): Promise<Outcome> {
  const stage = await openStage(kind, broker);
  const outcome = await playOn(stage, steps);
  try {
    await stage.close();
    return outcome;
  } catch (error) {
    return outcome.passed
      ? { passed: false, detail: `the broker cannot be closed: ${(error as Error).message}` }
      : outcome;
  }
}

async function playOn(stage: OpenStage, steps: ConformanceCase['steps']): Promise<Outcome> {
  let at = 'at the end';
  try {
    for (const [index, step] of steps.entries()) {
      at = `step ${index + 1}, ${step.text}`;
      await step.play(stage);
    }
    at = 'at the end';
    const left = await stage.leftOver();
    return { passed: left === undefined, detail: left === undefined ? '' : `${at}: ${left}` };
  } catch (error) {
    return { passed: false, detail: `${at}: ${(error as Error).message}` };
  }
}

export interface Coverage {
  readonly statement: Statement;
  readonly cases: readonly ConformanceCase[];
}

/** Every statement with the cases that name it. */
export function coverage(): readonly Coverage[] {
  return statements.map((statement) => ({
    statement,
    cases: conformanceCases.filter(
      ({ version, clauses }) => version === statement.version && clauses.includes(statement.id),
    ),
  }));
}

/** Statements for servers that no case names, and what cases name that is no statement for servers. */
export function gaps(): readonly string[] {
  const missing = coverage()
    .filter(({ statement, cases }) => statement.concern === 'server' && cases.length === 0)
    .map(({ statement }) => `${statement.version} [${statement.id}] has neither a case nor a reason`);
  const stray = conformanceCases.flatMap(({ version, clauses, name }) =>
    clauses
      .filter(
        (clause) =>
          !statements.some((known) => known.version === version && known.id === clause && known.concern === 'server'),
      )
      .map((clause) => `the case '${name}' names ${version} [${clause}], which is no statement for servers`),
  );
  return [...missing, ...stray];
}
