/**
 * How deep a document is nested. A `flat_object` field is read by a function that calls itself, and at between 500 and 600 levels the stack of
 * OpenSearch's write thread is used up: the whole node ends (measured on 2.19.5 and 3.6.0), and would end again at every new try. So such a
 * document is never sent.
 */

/** Levels of objects and arrays, the document itself counted, that are sent. Far from what ends a node, far beyond what people write. */
export const NESTING_MAX = 200;

const QUOTE = 0x22;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;

/** True when the JSON text has more than `NESTING_MAX` levels. Most texts are too short for that, or have too few brackets, and are not read. */
export function isNestedTooDeep(json: string): boolean {
  if (json.length <= 2 * NESTING_MAX || !hasMoreBrackets(json, NESTING_MAX)) return false;
  let depth = 0;
  for (let at = 0; at < json.length; at += 1) {
    const code = json.charCodeAt(at);
    if (code === QUOTE) at = endOfString(json, at);
    else if (code === OPEN_OBJECT || code === OPEN_ARRAY) {
      depth += 1;
      if (depth > NESTING_MAX) return true;
    } else if (code === CLOSE_OBJECT || code === CLOSE_ARRAY) depth -= 1;
  }
  return false;
}

function hasMoreBrackets(json: string, limit: number): boolean {
  let brackets = 0;
  for (const bracket of ['{', '[']) {
    for (let at = json.indexOf(bracket); at !== -1; at = json.indexOf(bracket, at + 1)) {
      brackets += 1;
      if (brackets > limit) return true;
    }
  }
  return false;
}

/** The place of the quote that ends the string which begins at `at`. */
function endOfString(json: string, at: number): number {
  for (let end = json.indexOf('"', at + 1); end !== -1; end = json.indexOf('"', end + 1)) {
    let escapes = 0;
    while (json.charCodeAt(end - 1 - escapes) === 0x5c) escapes += 1;
    if (escapes % 2 === 0) return end;
  }
  return json.length;
}
