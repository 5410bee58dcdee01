/** Array literals: `{1,NULL,"NULL"}`, nested braces for more dimensions, an optional prefix of bounds. */
import type { Value } from '../../../../src/change/value.ts';
import { Malformed } from './malformed.ts';

/** The server's own limit (MAXDIM). */
const DIMENSIONS_MAX = 6;

/**
 * The array as nested lists. Lower bounds (`[0:1]={a,b}`) are left out, as the server's own `to_jsonb` does; an empty array is `[]`
 * whatever dimensions it was declared with.
 */
export function arrayOf(text: string, delimiter: string, element: (text: string) => Value): Value[] {
  const start = text.charCodeAt(0) === BRACKET_OPEN ? text.indexOf('=') + 1 : 0;
  if (text.charCodeAt(start) !== BRACE_OPEN || text.charCodeAt(text.length - 1) !== BRACE_CLOSE) throw new Malformed('an array');
  const inner = text.slice(start + 1, -1);
  if (inner === '') return [];
  if (!needsParser.test(inner)) return inner.split(delimiter).map((item) => bareItem(item, element));
  return new ArrayParser(text, start, delimiter.charCodeAt(0), element).parse();
}

/** Without quotes, `NULL` is null, and an empty text cannot be. */
function bareItem(item: string, element: (text: string) => Value): Value {
  if (item === '') throw new Malformed('an array');
  return item === 'NULL' ? null : element(item);
}

const needsParser = /["\\{}]/;
const BRACKET_OPEN = 91;
const BRACE_OPEN = 123;
const BRACE_CLOSE = 125;
const QUOTE = 34;
const BACKSLASH = 92;

class ArrayParser {
  readonly #text: string;
  readonly #delimiter: number;
  readonly #element: (text: string) => Value;
  #at: number;

  constructor(text: string, start: number, delimiter: number, element: (text: string) => Value) {
    this.#text = text;
    this.#at = start;
    this.#delimiter = delimiter;
    this.#element = element;
  }

  parse(): Value[] {
    const items = this.#list(1);
    if (this.#at !== this.#text.length) throw new Malformed('an array');
    return items;
  }

  /** A brace-enclosed list; stands on its opening brace, ends behind its closing one. */
  #list(depth: number): Value[] {
    if (depth > DIMENSIONS_MAX) throw new Malformed('an array');
    const items: Value[] = [];
    for (;;) {
      this.#at += 1;
      items.push(this.#item(depth));
      const next = this.#text.charCodeAt(this.#at);
      if (next === BRACE_CLOSE) {
        this.#at += 1;
        return items;
      }
      if (next !== this.#delimiter) throw new Malformed('an array');
    }
  }

  #item(depth: number): Value {
    const first = this.#text.charCodeAt(this.#at);
    if (first === BRACE_OPEN) return this.#list(depth + 1);
    if (first === QUOTE) return this.#element(this.#quoted());
    const start = this.#at;
    while (this.#at < this.#text.length) {
      const char = this.#text.charCodeAt(this.#at);
      if (char === this.#delimiter || char === BRACE_CLOSE) break;
      this.#at += 1;
    }
    return bareItem(this.#text.slice(start, this.#at), this.#element);
  }

  /** The inside of a quoted element; a backslash stands before a quote or a backslash that belongs to the value. */
  #quoted(): string {
    let value = '';
    let from = this.#at + 1;
    for (let at = from; at < this.#text.length; at += 1) {
      const char = this.#text.charCodeAt(at);
      if (char === QUOTE) {
        this.#at = at + 1;
        return value + this.#text.slice(from, at);
      }
      if (char === BACKSLASH) {
        value += this.#text.slice(from, at);
        at += 1;
        from = at;
      }
    }
    throw new Malformed('an array');
  }
}
