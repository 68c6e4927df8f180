// Some thousands of drawn cases in every test run, and whatever the corpus holds. `make fuzz` plays as many as asked.

import t from 'tap';
import { checkCodec, drawCodecCase } from './codec.ts';
import { readCorpus } from './corpus.ts';
import { drawScript, parseScript, scriptText } from './script.ts';
import { playSiege } from './siege.ts';

const seed = 20_261_121;
const codecCases = 6_000;
const sieges = 60;

t.test('the codec holds against the corpus', async (t) => {
  const { codec } = readCorpus();
  t.ok(codec.length > 0);
  for (const one of codec) t.doesNotThrow(() => checkCodec(one), `${one.version} ${one.bytes.toString('hex')}`);
});

t.test('the codec holds against drawn cases', async (t) => {
  const { codec } = readCorpus();
  for (let number = 0; number < codecCases; number++) {
    const one = drawCodecCase(seed, number, codec);
    try {
      checkCodec(one);
    } catch (error) {
      t.fail(`case ${number} of seed ${seed}: ${one.version} ${one.bytes.toString('hex')}`, { error });
      break;
    }
  }
  t.pass(`${codecCases} cases`);
});

t.test('a broker holds against the corpus', async (t) => {
  for (const { name, script } of readCorpus().sieges) await t.resolves(playSiege(script), name);
});

t.test('a broker holds against drawn sieges', async (t) => {
  for (let number = 0; number < sieges; number++) {
    const script = drawScript(seed, number);
    try {
      await playSiege(script);
    } catch (error) {
      t.fail(`siege ${number} of seed ${seed}:\n${scriptText(script)}`, { error });
      break;
    }
  }
  t.pass(`${sieges} sieges`);
});

t.test('the same seed draws the same, and a script reads back from its text', async (t) => {
  t.same(drawScript(seed, 1), drawScript(seed, 1));
  t.not(scriptText(drawScript(seed, 1)), scriptText(drawScript(seed, 2)));
  t.same(parseScript(scriptText(drawScript(seed, 3))), drawScript(seed, 3));
  t.same(drawCodecCase(seed, 5, []), drawCodecCase(seed, 5, []));
});
