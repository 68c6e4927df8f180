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

interface Result {
  readonly case: ConformanceCase;
  readonly memory: Outcome;
  readonly tcp: Outcome | undefined;
}

async function playAll(): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (const one of conformanceCases) {
    const memory = await play(one, 'memory');
    const tcp = one.overTcp ? await play(one, 'tcp') : undefined;
    results.push({ case: one, memory, tcp });
  }
  return results;
}

const hasPassed = ({ memory, tcp }: Result): boolean => memory.passed && tcp?.passed !== false;

function reportOf(results: readonly Result[]) {
  const byCase = new Map(results.map((result) => [result.case, result]));
  const clauses = coverage().map(({ statement, cases }) => ({
    clause: statement.id,
    version: statement.version,
    says: statement.says,
    concern: statement.concern,
    ...(statement.reason === '' ? {} : { reason: statement.reason }),
    cases: cases.map((one) => {
      const result = byCase.get(one);
      const passed = result !== undefined && hasPassed(result);
      return { name: one.name, over: one.overTcp ? ['memory', 'tcp'] : ['memory'], passed };
    }),
  }));
  const failures = results.flatMap((result) =>
    hasPassed(result)
      ? []
      : [
          {
            case: result.case.name,
            version: result.case.version,
            memory: result.memory.detail,
            tcp: result.tcp?.detail ?? '',
          },
        ],
  );
  const server = clauses.filter(({ concern }) => concern === 'server');
  const summary = {
    clauses: clauses.length,
    server: server.length,
    clientOnly: clauses.filter(({ concern }) => concern === 'client only').length,
    notTestable: clauses.filter(({ concern }) => concern === 'not testable').length,
    cases: results.length,
    overTcp: results.filter(({ tcp }) => tcp !== undefined).length,
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
  for (const { case: name, version, memory, tcp } of failures) {
    yield `FAILED ${name} (${version})`;
    if (memory !== '') yield `        in memory: ${memory}`;
    if (tcp !== '') yield `        over TCP: ${tcp}`;
  }
  yield* missing;
  const { server, clientOnly, notTestable, cases, overTcp, failed } = summary;
  yield `${summary.clauses} statements: ${server} about servers, ${clientOnly} about clients only, ${notTestable} not testable`;
  yield `${cases} cases, ${overTcp} of them over TCP too: ${failed} failed; ${missing.length} statements without a case`;
}

async function main(): Promise<void> {
  const report = reportOf(await playAll());
  const text = process.argv.includes('--json') ? JSON.stringify(report, null, 2) : [...lines(report)].join('\n');
  process.stdout.write(`${text}\n`);
  process.exitCode = report.failures.length + report.gaps.length === 0 ? 0 : 1;
}

void main();
