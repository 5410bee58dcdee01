/** The extension type hstore: `"a"=>"1", "b"=>NULL`. */
import type { ValueObject } from '../../../../src/change/value.ts';
import { Malformed } from './malformed.ts';

const pair = /"((?:[^"\\]|\\.)*)"=>(?:"((?:[^"\\]|\\.)*)"|(NULL))(?:, |$)/sy;
const escaped = /\\(.)/gs;

/** Text or null by name, in an object without a prototype: every name is a name. */
export function hstoreOf(text: string): ValueObject {
  const value = Object.create(null) as Record<string, string | null>;
  pair.lastIndex = 0;
  for (let at = 0; at < text.length; at = pair.lastIndex) {
    const parts = pair.exec(text);
    if (parts === null) throw new Malformed('an hstore');
    const [, name, content] = parts;
    value[unescape(name as string)] = content === undefined ? null : unescape(content);
  }
  return value;
}

function unescape(text: string): string {
  return text.includes('\\') ? text.replaceAll(escaped, '$1') : text;
}
