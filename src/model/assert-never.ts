// The end of every exhaustive switch: adding a variant breaks the build in each place that cares.

import { AssertionError } from 'node:assert';

export function assertNever(value: never, what: string): never {
  throw new AssertionError({ message: `${what}: unforeseen variant ${JSON.stringify(value)}` });
}
