import { parse } from 'smol-toml';
import t from 'tap';
import { keyPositions } from '../../src/config/key-positions.ts';

const text = `# a comment = 1
hostname = "a # b = c"
dotted.inner."quo ted" = 1

[store]   # tail
  quota = '64MiB'
list = [ "a", # = x
  { in = 1 }, [2, 3] ]
multi = """
[not.a.table]
no = 1
"""""
last = { a = { b = 2, c = "}" } }
[[things]]
name = 1
[[things]]
name = 2
[ spaced . out ]
x=1
literal = '''
y = 2'''
z = 1979-05-27T07:32:00Z
`;

const expected: readonly (readonly [string, number, number])[] = [
  ['hostname', 2, 1],
  ['dotted', 3, 1],
  ['dotted.inner.quo ted', 3, 1],
  ['store', 5, 2],
  ['store.quota', 6, 3],
  ['store.list', 7, 1],
  ['store.list.1.in', 8, 5],
  ['store.multi', 9, 1],
  ['store.last.a.b', 13, 16],
  ['store.last.a.c', 13, 23],
  ['things.0.name', 15, 1],
  ['things.1.name', 17, 1],
  ['spaced.out', 18, 3],
  ['spaced.out.x', 19, 1],
  ['spaced.out.literal', 20, 1],
  ['spaced.out.z', 22, 1],
];

t.test('each key of a text is found at its line and column', async (t) => {
  t.doesNotThrow(() => parse(text), 'the text is valid TOML');
  const positions = keyPositions(text);
  for (const [key, line, column] of expected) t.same(positions.get(key), { line, column }, key);
  t.notOk(positions.has('not.a.table'), 'a header inside a string is no header');
  t.notOk(positions.has('spaced.out.y'), 'a pair inside a string is no pair');
});

t.test('a text that no reader would accept ends the scan instead of hanging it', async (t) => {
  for (const broken of ['= 1', ']]]', 'a = [', 'a = {', 'a = "', '[', 'a = [ } ]', '}{', 'a = { ] }']) {
    t.doesNotThrow(() => keyPositions(broken), broken);
  }
});
