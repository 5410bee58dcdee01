/**
 * What a person types into a search box, as an FTS5 query. Never a syntax error, whatever is typed.
 *
 *     red shoes            documents with both words, anywhere
 *     "red shoes"          the two words in a row
 *     sho*                 words that begin so
 *     name:shoes           in the field `name` only; also name:"red shoes" and name:sho*
 *
 * Everything else means itself: `AND`, `OR`, `(`, `-` and a `:` behind no field's name are searched for like other text.
 */

/** Words and phrases beyond this many are not looked at. */
export const QUERY_TERMS_MAX = 64;
const QUERY_CHARACTERS_MAX = 10_000;

/** An optional `field:`, then a phrase (its closing quote may be missing) or a word, then perhaps `*`. */
const term = /(?:([^\s":]+):(?=[^\s]))?(?:"([^"]*)(?:"|$)|([^\s"]+))(\*)?/gu;

/** `columns`: names of fields, in lower case, to names of the full-text index's columns. Undefined when nothing is asked for. */
export function ftsQuery(text: string, columns: ReadonlyMap<string, string>): string | undefined {
  // SQL text ends at NUL for FTS5's parser; a cut may leave half of a surrogate pair.
  const asked = text.slice(0, QUERY_CHARACTERS_MAX).replaceAll('\0', ' ').toWellFormed();
  const terms: string[] = [];
  for (const [, field, phrase, rawWord, star] of asked.matchAll(term)) {
    if (terms.length === QUERY_TERMS_MAX) break;
    const prefix = star !== undefined || rawWord?.endsWith('*') === true;
    const words = phrase ?? rawWord?.replace(/\*+$/, '') ?? '';
    const column = field === undefined ? undefined : columns.get(field.toLowerCase());
    const literal = field !== undefined && column === undefined ? `${field}:${words}` : words;
    if (literal === '') continue;
    // Terms stand side by side without AND: FTS5 then leaves out those that have no word in them, like "--".
    terms.push(`${column === undefined ? '' : `${quoted(column)} : `}${quoted(literal)}${prefix ? '*' : ''}`);
  }
  return terms.length === 0 ? undefined : terms.join(' ');
}

function quoted(text: string): string {
  return `"${text.replaceAll('"', '""')}"`;
}
