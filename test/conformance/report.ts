// Prints the conformance table: each numbered statement, the cases that show it, and how they went.
//
//   make conformance            a table, and what is wrong at its end
//   make conformance JSON=1     the same as JSON
//
// Ends with 1 when a case failed, or when a statement about servers has no case.

import process from 'node:process';
import { conformanceCases } from './cases/index.ts';
import { coverage, gaps, type Outcome, play } from './play.ts';
import type { ConformanceCase } from './script.ts';
import type { StageKind } from './stage.ts';

interface Result {
  readonly case: ConformanceCase;
  readonly outcomes: readonly { readonly over: StageKind; readonly outcome: Outcome }[];
}

async function playAll(): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (const one of conformanceCases) {
    const outcomes: { over: StageKind; outcome: Outcome }[] = [];
    for (const over of one.over) outcomes.push({ over, outcome: await play(one, over) });
    results.push({ case: one, outcomes });
  }
  return results;
}

function reportOf(results: readonly Result[]) {
  const byCase = new Map(results.map((result) => [result.case, result]));
  const clauses = coverage().map(({ statement, cases }) => ({
    clause: statement.id,
    version: statement.version,
    says: statement.says,
    concern: statement.concern,
    ...(statement.reason === '' ? {} : { reason: statement.reason }),
    cases: cases.map((one) => ({
      name: one.name,
      over: one.over,
      passed: byCase.get(one)?.outcomes.every(({ outcome }) => outcome.passed) === true,
    })),
  }));
  const failures = results.flatMap(({ case: { name, version }, outcomes }) =>
    outcomes
      .filter(({ outcome }) => !outcome.passed)
      .map(({ over, outcome }) => ({ case: name, version, over, detail: outcome.detail })),
  );
  const concerning = (concern: string): number => clauses.filter((clause) => clause.concern === concern).length;
  const over = (kind: StageKind): number => results.filter((result) => result.case.over.includes(kind)).length;
  const summary = {
    clauses: clauses.length,
    server: concerning('server'),
    clientOnly: concerning('client only'),
    notTestable: concerning('not testable'),
    cases: results.length,
    over: { memory: over('memory'), stored: over('stored'), tcp: over('tcp'), websocket: over('websocket') },
    failed: failures.length,
    gaps: gaps().length,
  };
  return { summary, clauses, failures, gaps: gaps() };
}

type Report = ReturnType<typeof reportOf>;

function verdict({ concern, cases }: Report['clauses'][number]): string {
  if (concern !== 'server') return concern;
  if (cases.length === 0) return 'NO CASE';
  return cases.every(({ passed }) => passed) ? 'ok' : 'FAILED';
}

function* lines({ summary, clauses, failures, gaps: missing }: Report): Generator<string> {
  for (const clause of clauses) {
    yield `${clause.version.padEnd(5)} [${clause.clause}] ${verdict(clause)}: ${clause.says}`;
    if (clause.reason !== undefined) yield `        ${clause.reason}`;
    for (const { name, over, passed } of clause.cases)
      yield `        ${passed ? 'ok    ' : 'FAILED'} ${name} (${over.join(', ')})`;
  }
  yield '';
  for (const { case: name, version, over, detail } of failures) {
    yield `FAILED ${name} (${version}, ${over})`;
    yield `        ${detail}`;
  }
  yield* missing;
  const { server, clientOnly, notTestable, cases, over, failed } = summary;
  yield `${summary.clauses} statements: ${server} about servers, ${clientOnly} about clients only, ${notTestable} not testable`;
  yield `${cases} cases, played ${over.memory} times in memory, ${over.stored} with a store, ${over.tcp} over TCP, ${over.websocket} over WebSocket`;
  yield `${failed} failed, ${missing.length} statements without a case`;
}

async function main(): Promise<void> {
  const report = reportOf(await playAll());
  const text = process.argv.includes('--json') ? JSON.stringify(report, null, 2) : [...lines(report)].join('\n');
  process.stdout.write(`${text}\n`);
  process.exitCode = report.failures.length + report.gaps.length === 0 ? 0 : 1;
}

void main();
