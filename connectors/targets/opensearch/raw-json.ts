/**
 * Finds parts of a JSON text and hands them out as they stand in it. Documents must come back letter by letter: parsed and written again,
 * numbers beyond 53 bits would be others. The text comes from a cluster and is taken to be well-formed; where it is not, this throws.
 */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const COMMA = 0x2c;
const COLON = 0x3a;

/** Where a value begins and ends in its text. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** Where the members of an object stand, by name. */
export type Members = ReadonlyMap<string, Span>;

/** The members of each object of the array at the end of a way of names, `['hits', 'hits']`. Nothing is walked over twice, and nothing behind the array. */
export function* objectsUnder(text: string, ...names: readonly string[]): Generator<Members, void, undefined> {
  let at = 0;
  for (const name of names) at = memberAt(text, at, name);
  let pos = skipSpace(text, expectChar(text, skipSpace(text, at), OPEN_ARRAY));
  if (text.charCodeAt(pos) === CLOSE_ARRAY) return;
  for (;;) {
    const members = new Map<string, Span>();
    const end = eachMember(text, pos, (name, span) => void members.set(name, span));
    yield members;
    pos = skipSpace(text, end);
    if (text.charCodeAt(pos) === CLOSE_ARRAY) return;
    pos = skipSpace(text, expectChar(text, pos, COMMA));
  }
}

/** Where the value of this member of the object at `at` begins. */
function memberAt(text: string, at: number, name: string): number {
  let pos = skipSpace(text, expectChar(text, skipSpace(text, at), OPEN_OBJECT));
  while (text.charCodeAt(pos) === QUOTE) {
    const nameEnd = endOfString(text, pos);
    const from = skipSpace(text, expectChar(text, skipSpace(text, nameEnd), COLON));
    if (stringOf(text, { from: pos, to: nameEnd }) === name) return from;
    pos = skipSpace(text, endOfValue(text, from));
    if (text.charCodeAt(pos) === COMMA) pos = skipSpace(text, pos + 1);
  }
  throw malformed(pos);
}

/** Returns where the object ends. */
function eachMember(text: string, at: number, take: (name: string, span: Span) => void): number {
  let pos = skipSpace(text, expectChar(text, skipSpace(text, at), OPEN_OBJECT));
  if (text.charCodeAt(pos) === CLOSE_OBJECT) return pos + 1;
  for (;;) {
    const nameEnd = endOfString(text, pos);
    const from = skipSpace(text, expectChar(text, skipSpace(text, nameEnd), COLON));
    const to = endOfValue(text, from);
    take(stringOf(text, { from: pos, to: nameEnd }), { from, to });
    pos = skipSpace(text, to);
    if (text.charCodeAt(pos) === CLOSE_OBJECT) return pos + 1;
    pos = skipSpace(text, expectChar(text, pos, COMMA));
  }
}

/** What a string in the text says. */
export function stringOf(text: string, { from, to }: Span): string {
  const inner = text.slice(from + 1, to - 1);
  return inner.includes('\\') ? (JSON.parse(text.slice(from, to)) as string) : inner;
}

export function textOf(text: string, { from, to }: Span): string {
  return text.slice(from, to);
}

/** Behind the value that begins at `at`. */
function endOfValue(text: string, at: number): number {
  const first = text.charCodeAt(at);
  if (first === QUOTE) return endOfString(text, at);
  if (first !== OPEN_OBJECT && first !== OPEN_ARRAY) return endOfScalar(text, at);
  let depth = 0;
  for (let pos = at; pos < text.length; ) {
    const code = text.charCodeAt(pos);
    if (code === QUOTE) {
      pos = endOfString(text, pos);
      continue;
    }
    if (code === OPEN_OBJECT || code === OPEN_ARRAY) depth += 1;
    else if (code === CLOSE_OBJECT || code === CLOSE_ARRAY) depth -= 1;
    pos += 1;
    if (depth === 0) return pos;
  }
  throw malformed(at);
}

function endOfString(text: string, at: number): number {
  if (text.charCodeAt(at) !== QUOTE) throw malformed(at);
  for (let end = text.indexOf('"', at + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let escapes = 0;
    while (text.charCodeAt(end - 1 - escapes) === BACKSLASH) escapes += 1;
    if (escapes % 2 === 0) return end + 1;
  }
  throw malformed(at);
}

/** Number, true, false or null. */
function endOfScalar(text: string, at: number): number {
  let pos = at;
  while (pos < text.length && !/[\s,\]}]/.test(text.charAt(pos))) pos += 1;
  if (pos === at) throw malformed(at);
  return pos;
}

function skipSpace(text: string, at: number): number {
  let pos = at;
  for (let code = text.charCodeAt(pos); code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09; code = text.charCodeAt(pos)) pos += 1;
  return pos;
}

function expectChar(text: string, at: number, code: number): number {
  if (text.charCodeAt(at) !== code) throw malformed(at);
  return at + 1;
}

function malformed(at: number): SyntaxError {
  return new SyntaxError(`not the expected JSON at ${at}`);
}
