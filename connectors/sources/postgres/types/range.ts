/** Ranges and multiranges: `[1,10)`, `empty`, `{[1,3),(7,)}`. */
import type { Value, ValueObject } from '../../../../src/change/value.ts';
import { Malformed } from './malformed.ts';
import { quotedItems } from './quoted-list.ts';

/** The answers of the server's `lower`, `upper`, `lower_inc`, `upper_inc` and `isempty`; a bound that is not there is null. */
export function rangeOf(text: string, bound: (text: string) => Value): ValueObject {
  if (text === 'empty') return { lower: null, upper: null, lower_inc: false, upper_inc: false, empty: true };
  const opening = text[0];
  const closing = text.at(-1);
  if ((opening !== '[' && opening !== '(') || (closing !== ']' && closing !== ')')) throw new Malformed('a range');
  const bounds = quotedItems(text, 1, text.length - 1, 'a range');
  if (bounds.length !== 2) throw new Malformed('a range');
  const [lower, upper] = bounds as [string | null, string | null];
  return {
    lower: lower === null ? null : bound(lower),
    upper: upper === null ? null : bound(upper),
    lower_inc: opening === '[',
    upper_inc: closing === ']',
    empty: false,
  };
}

const QUOTE = '"';
const BACKSLASH = '\\';

/** A list of ranges in the order that the server keeps them in. */
export function multirangeOf(text: string, bound: (text: string) => Value): ValueObject[] {
  if (!text.startsWith('{') || !text.endsWith('}')) throw new Malformed('a multirange');
  const ranges: ValueObject[] = [];
  const end = text.length - 1;
  let start = 1;
  let quoted = false;
  for (let at = 1; at < end; at += 1) {
    const char = text[at];
    if (char === BACKSLASH) at += 1;
    else if (char === QUOTE) quoted = !quoted;
    else if (!quoted && (char === ')' || char === ']')) {
      ranges.push(rangeOf(text.slice(start, at + 1), bound));
      if (at + 1 < end && text[at + 1] !== ',') throw new Malformed('a multirange');
      at += 1;
      start = at + 1;
    }
  }
  if (start < end) throw new Malformed('a multirange');
  return ranges;
}
