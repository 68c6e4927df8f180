// Text as a number, the way IoT Edge's as_number() reads it (.NET, NumberStyles.Any, invariant culture). Pure.
//
//   blanks around │ ( … ) or a trailing - means negative │ one sign │ ¤ before or behind │ 1,234.5 │ .5 │ 5. │ 1e-3
//   Infinity in any case; NaN is no number here
//
// Commas may stand anywhere between the digits before the point. Hexadecimal text is no number.

const infinityPattern = /^([+-]?)infinity$/i;
const numberPattern = /^(\d[\d,]*)?(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/;

/** Undefined when the text is no number. */
export function numberOfText(text: string): number | undefined {
  // The usual case first: digits that JavaScript reads in the same way.
  if (/^-?\d+(?:\.\d+)?$/.test(text)) return Number(text);
  const trimmed = text.replace(/^[\t-\r ]+|[\t-\r ]+$/g, '');
  const infinite = infinityPattern.exec(trimmed);
  if (infinite !== null) return infinite[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  const { bare, isNegative } = withoutSign(trimmed);
  const [matched, whole, fraction, exponent = '0'] = numberPattern.exec(bare) ?? [];
  if (matched === undefined || (whole ?? fraction ?? '') === '') return undefined;
  const value = Number(`${(whole ?? '0').replaceAll(',', '')}.${fraction || '0'}e${exponent}`);
  return isNegative ? -value : value;
}

/** Takes off one pair of parentheses, one sign and one currency sign. What is left over too much is no number. */
function withoutSign(text: string): { readonly bare: string; readonly isNegative: boolean } {
  let bare = text;
  let isNegative = false;
  if (bare.startsWith('(') && bare.endsWith(')')) {
    bare = bare.slice(1, -1).trim();
    isNegative = true;
    if (/[+-]$|^[+-]/.test(bare)) return { bare: '', isNegative };
  }
  bare = bare
    .replace(/^([+-]?)[\t-\r ]*¤/, '$1')
    .replace(/¤([+-]?)$/, '$1')
    .trim();
  if (/^[+-]/.test(bare)) {
    isNegative = bare.startsWith('-');
    bare = bare.slice(1).trimStart();
  } else if (/[+-]$/.test(bare)) {
    isNegative = bare.endsWith('-');
    bare = bare.slice(0, -1).trimEnd();
  }
  return { bare, isNegative };
}
