import t from 'tap';
import { linesOf, wholeLines } from '../../src/model/whole-lines.ts';

async function* inPieces(text: string, characters: number): AsyncGenerator<string> {
  for (let at = 0; at < text.length; at += characters) yield text.slice(at, at + characters);
}

async function all(pieces: AsyncIterable<string>): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const piece of pieces) found.push(piece);
  return found;
}

t.test('however a text is cut, each piece ends with a line, and nothing is lost', async (t) => {
  for (const text of ['', '\n', 'a\nbc\n\ndefgh\n', 'a\nno end', 'no end'])
    for (let characters = 1; characters <= text.length + 1; characters++) {
      const pieces = await all(wholeLines(inPieces(text, characters)));
      t.equal(pieces.join(''), text);
      for (const piece of pieces.slice(0, -1)) t.match(piece, /\n$/);
      t.same(
        await all(linesOf(inPieces(text, characters))),
        text.split('\n').filter((line) => line !== ''),
      );
    }
});
