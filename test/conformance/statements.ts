// All numbered statements of both versions.

import type { Statement } from './statement.ts';
import { statements311 } from './statements-3.1.1.ts';
import { statements50Behaviour } from './statements-5.0-behaviour.ts';
import { statements50Connect } from './statements-5.0-connect.ts';
import { statements50Publish } from './statements-5.0-publish.ts';
import { statements50Subscribe } from './statements-5.0-subscribe.ts';

export const statements: readonly Statement[] = [
  ...statements311,
  ...statements50Connect,
  ...statements50Publish,
  ...statements50Subscribe,
  ...statements50Behaviour,
];
