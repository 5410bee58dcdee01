/** Names and text inside statements. Replication commands take no parameters, so what is written into them is quoted here. */

/** `"a""b"`: any name, as an identifier. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** `'it''s'`: any text, as a literal; backslashes mean themselves, because `standard_conforming_strings` is pinned to `on`. */
export function quoteLiteral(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** `"schema"."table"`. */
export function quoteQualified(namespace: string, name: string): string {
  return `${quoteIdentifier(namespace)}.${quoteIdentifier(name)}`;
}
