// What the compiler makes of a condition answers as the slow interpreter does, over drawn conditions and messages.
// A failing one is told by its seed: SEED=n runs that one alone.

import t from 'tap';
import { SharedValues } from '../../../src/router/condition/compiler.ts';
import { compileCondition, evaluateCondition, readCondition } from '../../../src/router/condition/condition.ts';
import { MessageView, type ViewedMessage } from '../../../src/router/condition/message-view.ts';
import { Draw, drawCondition, drawMessage } from './drawn.ts';
import { decided, workedOut, written } from './naive.ts';

function holds(text: string, message: ViewedMessage): boolean {
  const shared = new SharedValues();
  const evaluate = compileCondition(readCondition(text, { start: 0, isTwinChange: false }).condition, shared);
  const view = new MessageView();
  view.reserve(shared.size);
  view.look(message);
  return evaluate(view);
}

const cases = 20_000;
const messagesEach = 3;
const depthMax = 5;
const seeds =
  process.env['SEED'] === undefined ? Array.from({ length: cases }, (_, at) => at + 1) : [Number(process.env['SEED'])];

t.test('compiled conditions answer as the slow interpreter does', async (t) => {
  const answers = { true: 0, false: 0, undefined: 0 };
  for (const seed of seeds) {
    const draw = new Draw(seed);
    const tree = drawCondition(draw, 1 + draw.below(depthMax));
    const text = written(tree);
    if (text.length > 4000) continue;
    for (let at = 0; at < messagesEach; at++) {
      const message = drawMessage(draw);
      const expected = decided(workedOut(tree, message));
      const viewed = { ...message, sender: { deviceId: 'd' }, body: Buffer.from(message.body), enqueuedMs: 0 };
      const found = evaluateCondition(text, viewed);
      const takes = holds(text, viewed);
      if (takes !== (expected === true)) t.equal(takes, expected === true, `SEED=${seed}: whether ${text} holds`);
      answers[`${expected as boolean | undefined}`] += 1;
      if (found !== expected) t.equal(found, expected, `SEED=${seed}: ${text} of ${JSON.stringify(message)}`);
    }
  }
  t.comment(JSON.stringify(answers));
  if (seeds.length > 1) {
    for (const [answer, times] of Object.entries(answers)) t.ok(times > 2000, `${answer} came up ${times} times`);
  }
});
