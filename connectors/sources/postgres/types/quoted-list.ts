/** The notation that row values and ranges share: items between commas, quoted where they must be, nothing at all for "no value". */
import { Malformed } from './malformed.ts';

const QUOTE = 34;
const BACKSLASH = 92;
const COMMA = 44;

/**
 * The items of `text` from `start` up to `end`; null for an item that is not there (NULL in a row, no bound in a range).
 * Inside quotes a doubled quote or a backslash stands for the character behind it. A bare item holds no quote, comma or backslash.
 */
export function quotedItems(text: string, start: number, end: number, expected: string): (string | null)[] {
  const items: (string | null)[] = [];
  let at = start;
  for (;;) {
    let value: string | null = null;
    if (text.charCodeAt(at) === QUOTE && at < end) {
      value = '';
      let from = at + 1;
      for (at = from; ; at += 1) {
        if (at >= end) throw new Malformed(expected);
        const char = text.charCodeAt(at);
        if (char === BACKSLASH) {
          value += text.slice(from, at);
          at += 1;
          from = at;
        } else if (char === QUOTE) {
          value += text.slice(from, at);
          at += 1;
          if (text.charCodeAt(at) !== QUOTE || at >= end) break;
          from = at;
        }
      }
    } else {
      const from = at;
      while (at < end && text.charCodeAt(at) !== COMMA) at += 1;
      if (at > from) value = text.slice(from, at);
    }
    items.push(value);
    if (at === end) return items;
    if (at > end || text.charCodeAt(at) !== COMMA) throw new Malformed(expected);
    at += 1;
  }
}
