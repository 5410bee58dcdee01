/** Names and texts inside SQL that is put together here: quoted so that no name, however odd, means anything but itself. */

/** An SQL identifier. */
export function quotedName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** An SQL text literal. */
export function textLiteral(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** `name`, or with as many `_` behind it as make it differ from all of `taken` (lower case: SQLite's names know no case); adds it to `taken`. */
export function untakenName(name: string, taken: Set<string>): string {
  let free = name;
  while (taken.has(free.toLowerCase())) free += '_';
  taken.add(free.toLowerCase());
  return free;
}
