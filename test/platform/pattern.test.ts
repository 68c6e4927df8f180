import t from 'tap';
import { errorCode } from '../../src/model/errors.ts';
import { compilePattern } from '../../src/platform/pattern.ts';

t.test('texts match or do not, each for itself', (t) => {
  const pattern = compilePattern('^a.c$', { ignoreCase: false, msMax: 1000 });
  t.same(pattern.matches(['abc', 'ABC', 'xabc', '']), [true, false, false, false]);
  t.same(compilePattern('^a.c$', { ignoreCase: true, msMax: 1000 }).matches(['ABC']), [true]);
  const quotes = compilePattern('["`\\\\$]{2}', { ignoreCase: false, msMax: 1000 });
  t.same(quotes.matches(['a"\\', '"a', '`$']), [true, false, true]);
  t.same(pattern.matches([]), []);
  t.end();
});

t.test('what is no expression is told', (t) => {
  try {
    compilePattern('(', { ignoreCase: false, msMax: 10 });
    t.fail('it was taken');
  } catch (error) {
    t.equal(errorCode(error), 'PLATFORM_PATTERN_INVALID');
  }
  t.end();
});

t.test('one that backtracks without end is stopped, and the next question is answered', (t) => {
  const pattern = compilePattern('^(a+)+$', { ignoreCase: false, msMax: 50 });
  try {
    pattern.matches([`${'a'.repeat(64)}!`]);
    t.fail('it ended');
  } catch (error) {
    t.equal(errorCode(error), 'PLATFORM_PATTERN_TOO_SLOW');
  }
  t.same(pattern.matches(['aaa']), [true]);
  t.end();
});
