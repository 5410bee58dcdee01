/**
 * Regular expressions as RE2 writes them, read into a tree: what CEL's `matches` takes. Without back references and look-around, which
 * have no bounded running time. Named and numbered groups only group.
 */

/** Most copies that `{n,m}` may make of what it repeats. */
const REPEAT_MAX = 1000;

/** Deepest nesting of groups. */
const DEPTH_MAX = 100;

/** What is wrong with a pattern. The message holds no part of it: a pattern may come from a row. */
export class PatternError extends Error {
  override readonly name = 'PatternError';
}

/** Decides on one character, given as a code point. */
export type CharacterTest = (codePoint: number) => boolean;

export type Assertion = 'textStart' | 'textEnd' | 'lineStart' | 'lineEnd' | 'wordBoundary' | 'notWordBoundary';

export type PatternNode =
  | { readonly kind: 'character'; readonly test: CharacterTest }
  | { readonly kind: 'assert'; readonly assertion: Assertion }
  | { readonly kind: 'sequence'; readonly items: readonly PatternNode[] }
  | { readonly kind: 'choice'; readonly items: readonly PatternNode[] }
  /** `most` is undefined when there is no limit. */
  | { readonly kind: 'repeat'; readonly item: PatternNode; readonly least: number; readonly most: number | undefined };

interface Flags {
  readonly ignoreCase: boolean;
  readonly dotAll: boolean;
  readonly multiline: boolean;
}

export function parsePattern(source: string): PatternNode {
  const reader = new PatternReader(Array.from(source));
  return reader.read();
}

const digit: CharacterTest = (c) => c >= 48 && c <= 57;
export const word: CharacterTest = (c) => digit(c) || (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || c === 95;
const space: CharacterTest = (c) => c === 32 || c === 9 || c === 10 || c === 12 || c === 13;
const not = (test: CharacterTest): CharacterTest => (c) => !test(c);
const any = (tests: readonly CharacterTest[]): CharacterTest => (c) => tests.some((test) => test(c));

const classEscapes: Readonly<Record<string, CharacterTest>> = { d: digit, D: not(digit), w: word, W: not(word), s: space, S: not(space) };
const characterEscapes: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, f: 12, v: 11, a: 7 };

class PatternReader {
  readonly #characters: readonly string[];
  #at = 0;
  #depth = 0;

  constructor(characters: readonly string[]) {
    this.#characters = characters;
  }

  read(): PatternNode {
    const node = this.#choice({ ignoreCase: false, dotAll: false, multiline: false });
    if (this.#at < this.#characters.length) throw new PatternError('a group is closed that was not opened');
    return node;
  }

  get #next(): string | undefined {
    return this.#characters[this.#at];
  }

  #take(expected: string): boolean {
    if (this.#next !== expected) return false;
    this.#at += 1;
    return true;
  }

  #must(): string {
    const character = this.#next;
    if (character === undefined) throw new PatternError('the pattern ends too early');
    this.#at += 1;
    return character;
  }

  #choice(flags: Flags): PatternNode {
    let current = flags;
    const items: PatternNode[] = [];
    do {
      const sequence: PatternNode[] = [];
      while (this.#next !== undefined && this.#next !== '|' && this.#next !== ')') {
        const flagsHere = this.#inlineFlags(current);
        if (flagsHere !== undefined) current = flagsHere;
        else sequence.push(this.#repeated(current));
      }
      items.push(sequence.length === 1 ? (sequence[0] as PatternNode) : { kind: 'sequence', items: sequence });
    } while (this.#take('|'));
    return items.length === 1 ? (items[0] as PatternNode) : { kind: 'choice', items };
  }

  /** `(?i)`: flags for the rest of the group. */
  #inlineFlags(flags: Flags): Flags | undefined {
    const match = /^\(\?([ims]*)(?:-([ims]+))?\)/.exec(this.#characters.slice(this.#at, this.#at + 12).join(''));
    if (match === null || match[0].length < 4) return undefined;
    this.#at += match[0].length;
    return withFlags(flags, match[1] ?? '', match[2] ?? '');
  }

  #repeated(flags: Flags): PatternNode {
    let node = this.#atom(flags);
    for (;;) {
      const range = this.#quantifier();
      if (range === undefined) return node;
      this.#take('?'); // a lazy quantifier matches the same texts
      node = { kind: 'repeat', item: node, least: range[0], most: range[1] };
    }
  }

  #quantifier(): [number, number | undefined] | undefined {
    if (this.#take('*')) return [0, undefined];
    if (this.#take('+')) return [1, undefined];
    if (this.#take('?')) return [0, 1];
    const match = /^\{(\d{1,4})(?:(,)(\d{1,4})?)?\}/.exec(this.#characters.slice(this.#at, this.#at + 12).join(''));
    if (match === null) return undefined;
    this.#at += match[0].length;
    const least = Number(match[1]);
    const most = match[2] === undefined ? least : match[3] === undefined ? undefined : Number(match[3]);
    if (least > REPEAT_MAX || (most ?? 0) > REPEAT_MAX) throw new PatternError(`a repetition counts beyond ${REPEAT_MAX}`);
    if (most !== undefined && most < least) throw new PatternError('a repetition ends below its start');
    return [least, most];
  }

  #atom(flags: Flags): PatternNode {
    const character = this.#must();
    switch (character) {
      case '(':
        return this.#group(flags);
      case '[':
        return { kind: 'character', test: this.#set(flags) };
      case '.':
        return { kind: 'character', test: flags.dotAll ? () => true : (c) => c !== 10 };
      case '^':
        return { kind: 'assert', assertion: flags.multiline ? 'lineStart' : 'textStart' };
      case '$':
        return { kind: 'assert', assertion: flags.multiline ? 'lineEnd' : 'textEnd' };
      case '\\':
        return this.#escape(flags);
      case '*':
      case '+':
      case '?':
        throw new PatternError('a repetition has nothing to repeat');
      default:
        return literal(character, flags);
    }
  }

  #group(flags: Flags): PatternNode {
    this.#depth += 1;
    if (this.#depth > DEPTH_MAX) throw new PatternError('groups are nested too deeply');
    let inner = flags;
    if (this.#take('?')) inner = this.#groupHead(flags);
    const node = this.#choice(inner);
    if (!this.#take(')')) throw new PatternError('a group is not closed');
    this.#depth -= 1;
    return node;
  }

  #groupHead(flags: Flags): Flags {
    const head = this.#characters.slice(this.#at).join('');
    const match = /^(?:P?<[A-Za-z_]\w*>|([ims]*)(?:-([ims]+))?:)/.exec(head);
    if (match === null) throw new PatternError('look-around and other groups that begin with `(?` are not supported');
    this.#at += match[0].length;
    return withFlags(flags, match[1] ?? '', match[2] ?? '');
  }

  #escape(flags: Flags): PatternNode {
    const character = this.#must();
    if (character === 'b') return { kind: 'assert', assertion: 'wordBoundary' };
    if (character === 'B') return { kind: 'assert', assertion: 'notWordBoundary' };
    if (character === 'A') return { kind: 'assert', assertion: 'textStart' };
    if (character === 'z') return { kind: 'assert', assertion: 'textEnd' };
    const escaped = this.#classEscape(character);
    return typeof escaped === 'number' ? literal(String.fromCodePoint(escaped), flags) : { kind: 'character', test: escaped };
  }

  /** What `\x` stands for, inside sets and outside: a class of characters, or one code point. */
  #classEscape(character: string): CharacterTest | number {
    const known = classEscapes[character];
    if (known !== undefined) return known;
    const control = characterEscapes[character];
    if (control !== undefined) return control;
    if (character === 'x') return this.#hexadecimal();
    if (character === 'p' || character === 'P') return this.#property(character === 'P');
    if (/[A-Za-z0-9]/.test(character)) throw new PatternError('an escape is not known; back references are not supported');
    return character.codePointAt(0) as number;
  }

  #hexadecimal(): number {
    const match = /^(?:\{([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{2}))/.exec(this.#characters.slice(this.#at, this.#at + 8).join(''));
    if (match === null) throw new PatternError('`\\x` is followed by two hexadecimal digits, or by more in braces');
    this.#at += match[0].length;
    const codePoint = Number.parseInt(match[1] ?? match[2] ?? '', 16);
    if (codePoint > 0x10_ffff) throw new PatternError('a code point is beyond the last one');
    return codePoint;
  }

  /** `\pL`, `\p{Greek}`: by the tables of the JavaScript engine, one character at a time. */
  #property(negative: boolean): CharacterTest {
    const match = /^(?:\{(\^?)([A-Za-z_]{1,40})\}|([A-Z]))/.exec(this.#characters.slice(this.#at, this.#at + 44).join(''));
    if (match === null) throw new PatternError('`\\p` is followed by the name of a property of characters');
    this.#at += match[0].length;
    const name = match[2] ?? match[3] ?? '';
    const regular = propertyTest(name);
    const test: CharacterTest = (c) => regular.test(String.fromCodePoint(c));
    return negative !== (match[1] === '^') ? not(test) : test;
  }

  #set(flags: Flags): CharacterTest {
    const negative = this.#take('^');
    const tests: CharacterTest[] = [];
    let first = true;
    for (;;) {
      const character = this.#must();
      if (character === ']' && !first) break;
      first = false;
      if (character === '[' && this.#next === ':') throw new PatternError('classes in `[: :]` are not supported');
      const low = character === '\\' ? this.#classEscape(this.#must()) : (character.codePointAt(0) as number);
      tests.push(typeof low === 'number' ? this.#range(low) : low);
    }
    const test = cased(any(tests), flags);
    return negative ? not(test) : test;
  }

  #range(low: number): CharacterTest {
    if (this.#next !== '-' || this.#characters[this.#at + 1] === ']' || this.#characters[this.#at + 1] === undefined) return (c) => c === low;
    this.#at += 1;
    const character = this.#must();
    const high = character === '\\' ? this.#classEscape(this.#must()) : (character.codePointAt(0) as number);
    if (typeof high !== 'number' || high < low) throw new PatternError('a range of characters ends below its start');
    return (c) => c >= low && c <= high;
  }
}

function propertyTest(name: string): RegExp {
  for (const property of [name, `Script=${name}`]) {
    try {
      return new RegExp(`^\\p{${property}}$`, 'u');
    } catch {
      // not a property of this kind: the other may know it
    }
  }
  throw new PatternError('a property of characters is not known');
}

function withFlags(flags: Flags, on: string, off: string): Flags {
  const state = (letter: string, before: boolean): boolean => (on.includes(letter) || before) && !off.includes(letter);
  return { ignoreCase: state('i', flags.ignoreCase), dotAll: state('s', flags.dotAll), multiline: state('m', flags.multiline) };
}

function literal(character: string, flags: Flags): PatternNode {
  const codePoint = character.codePointAt(0) as number;
  return { kind: 'character', test: cased((c) => c === codePoint, flags) };
}

/** With `(?i)` a character passes when it does in either case. */
function cased(test: CharacterTest, flags: Flags): CharacterTest {
  if (!flags.ignoreCase) return test;
  return (c) => {
    if (test(c)) return true;
    const text = String.fromCodePoint(c);
    return [text.toLowerCase(), text.toUpperCase()].some((other) => other.length === text.length && test(other.codePointAt(0) as number));
  };
}
