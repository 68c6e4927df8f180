// All conformance cases.

import type { ConformanceCase } from '../script.ts';
import { authCases } from './auth.ts';
import { connectCases } from './connect.ts';
import { fanOutCases } from './fan-out.ts';
import { flowCases } from './flow.ts';
import { malformedCases } from './malformed.ts';
import { propertyCases } from './properties.ts';
import { qosCases } from './qos.ts';
import { retainCases } from './retain.ts';
import { sessionCases } from './session.ts';
import { sharedCases } from './shared.ts';
import { subscribeCases } from './subscribe.ts';
import { topicCases } from './topics.ts';
import { websocketCases } from './websocket.ts';
import { willCases } from './will.ts';

export const conformanceCases: readonly ConformanceCase[] = [
  ...connectCases,
  ...sessionCases,
  ...willCases,
  ...qosCases,
  ...retainCases,
  ...subscribeCases,
  ...topicCases,
  ...malformedCases,
  ...sharedCases,
  ...propertyCases,
  ...flowCases,
  ...authCases,
  ...fanOutCases,
  ...websocketCases,
];
