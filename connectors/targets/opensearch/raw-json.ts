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

/** The members of the object that begins at `at`, by name. */
export function membersAt(text: string, at: number): Map<string, Span> {
  const members = new Map<string, Span>();
  let pos = expectChar(text, skipSpace(text, at), OPEN_OBJECT);
  pos = skipSpace(text, pos);
  if (text.charCodeAt(pos) === CLOSE_OBJECT) return members;
  for (;;) {
    const nameEnd = endOfString(text, pos);
    const from = skipSpace(text, expectChar(text, skipSpace(text, nameEnd), COLON));
    const to = endOfValue(text, from);
    members.set(JSON.parse(text.slice(pos, nameEnd)) as string, { from, to });
    pos = skipSpace(text, to);
    if (text.charCodeAt(pos) === CLOSE_OBJECT) return members;
    pos = skipSpace(text, expectChar(text, pos, COMMA));
  }
}

/** The elements of the array that begins at `at`. */
export function elementsAt(text: string, at: number): Span[] {
  const elements: Span[] = [];
  let pos = skipSpace(text, expectChar(text, skipSpace(text, at), OPEN_ARRAY));
  if (text.charCodeAt(pos) === CLOSE_ARRAY) return elements;
  for (;;) {
    const to = endOfValue(text, pos);
    elements.push({ from: pos, to });
    pos = skipSpace(text, to);
    if (text.charCodeAt(pos) === CLOSE_ARRAY) return elements;
    pos = skipSpace(text, expectChar(text, pos, COMMA));
  }
}

/** The elements of the array at the end of a way of names: `['hits', 'hits']`. */
export function elementsUnder(text: string, ...names: readonly string[]): Span[] {
  let at = 0;
  for (const name of names) {
    const span = membersAt(text, at).get(name);
    if (span === undefined) throw malformed(at);
    at = span.from;
  }
  return elementsAt(text, at);
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
