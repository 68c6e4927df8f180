// Every check there is, in the order of the report.

import type { Check } from './check.ts';
import { configurationChecks } from './configuration.ts';
import { engineCheck } from './engine.ts';
import { hubChecks } from './hub.ts';
import { isolationChecks } from './isolation.ts';
import { machineChecks } from './machine.ts';
import { runtimeChecks } from './runtime.ts';

export const checks: readonly Check[] = [
  ...configurationChecks,
  ...machineChecks,
  ...isolationChecks,
  ...hubChecks,
  ...runtimeChecks,
  engineCheck,
];
export { type CheckAnswer, type CheckFacts, runChecks } from './check.ts';
