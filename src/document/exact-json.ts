/**
 * JSON read exactly: numbers keep their digits, names their order. `JSON.parse` makes doubles of all numbers, and in the V8 of Node 24 it may
 * read an escaped name as another that it met before (nodejs/node#63785), so that the result would depend on earlier rows.
 */
import { Decimal } from '../change/value.ts';
import { survivesAsDouble } from './decimal-arithmetic.ts';

/** What to make of numbers, given their text, and of objects, given their entries. */
interface JsonShape {
  readonly number: (text: string) => unknown;
  readonly object: (entries: readonly (readonly [string, unknown])[]) => unknown;
}

/** Throws SyntaxError for what is no JSON, RangeError for what is nested beyond the stack. No message holds a part of the text. */
export function parseExactJson(text: string, shape: JsonShape): unknown {
  return new JsonReader(text, shape).read();
}

const wholeNumber = /^-?\d+$/;

/** A number's text as a whole number (bigint), a double, or a Decimal when a double would not keep it. */
export function exactNumber(text: string): bigint | number | Decimal {
  if (wholeNumber.test(text)) return text === '-0' ? -0 : BigInt(text);
  return survivesAsDouble(text) ? Number(text) : new Decimal(text);
}

const space = /[ \t\n\r]*/y;
const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
/** A string without escapes, and the longer way round for those that have some. */
const plainString = /"([ !#-[\]-\uffff]*)"/y;
const anyString = /"(?:[^"\\]|\\.)*"/y;

class JsonReader {
  readonly #text: string;
  readonly #shape: JsonShape;
  #at = 0;

  constructor(text: string, shape: JsonShape) {
    this.#text = text;
    this.#shape = shape;
  }

  read(): unknown {
    this.#skipSpace();
    const value = this.#value();
    this.#skipSpace();
    if (this.#at < this.#text.length) throw this.#misfit();
    return value;
  }

  #value(): unknown {
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object();
      case '[':
        return this.#array();
      case '"':
        return this.#string();
      case 't':
        return this.#word('true', true);
      case 'f':
        return this.#word('false', false);
      case 'n':
        return this.#word('null', null);
      default:
        return this.#shape.number(this.#matched(number)[0]);
    }
  }

  #object(): unknown {
    const entries: (readonly [string, unknown])[] = [];
    this.#at += 1;
    this.#skipSpace();
    if (this.#take('}')) return this.#shape.object(entries);
    do {
      this.#skipSpace();
      const name = this.#string();
      this.#skipSpace();
      if (!this.#take(':')) throw this.#misfit();
      this.#skipSpace();
      entries.push([name, this.#value()]);
      this.#skipSpace();
    } while (this.#take(','));
    if (!this.#take('}')) throw this.#misfit();
    return this.#shape.object(entries);
  }

  #array(): unknown[] {
    const items: unknown[] = [];
    this.#at += 1;
    this.#skipSpace();
    if (this.#take(']')) return items;
    do {
      this.#skipSpace();
      items.push(this.#value());
      this.#skipSpace();
    } while (this.#take(','));
    if (!this.#take(']')) throw this.#misfit();
    return items;
  }

  #string(): string {
    plainString.lastIndex = this.#at;
    const plain = plainString.exec(this.#text);
    if (plain !== null) {
      this.#at = plainString.lastIndex;
      return plain[1] as string;
    }
    const [token] = this.#matched(anyString);
    try {
      return JSON.parse(token) as string;
    } catch {
      // Its own message would show the text.
      throw this.#misfit();
    }
  }

  #word<Result>(word: string, value: Result): Result {
    if (!this.#text.startsWith(word, this.#at)) throw this.#misfit();
    this.#at += word.length;
    return value;
  }

  #matched(pattern: RegExp): RegExpExecArray {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) throw this.#misfit();
    this.#at = pattern.lastIndex;
    return match;
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  #skipSpace(): void {
    space.lastIndex = this.#at;
    space.exec(this.#text);
    this.#at = space.lastIndex;
  }

  #misfit(): SyntaxError {
    return new SyntaxError(`the text is no JSON at character ${this.#at + 1}`);
  }
}
