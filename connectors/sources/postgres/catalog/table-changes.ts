/**
 * What changed in a table without a change of rows in the stream: DDL writes none. Told by comparing two readings of the catalog, which may be
 * seconds or weeks apart.
 *
 * A table is read again when rows that are there now may differ from what the stream told: a column that is new to them has a value,
 * a partition came with rows. It is swept as well when rows may have gone, or go by another key: a partition left, the row filter changed,
 * a column of the key was rewritten. Where the whole row is the key, every column is of it.
 */
import type { KnownLeaf, KnownTable } from './known-tables.ts';
import type { Leaf, LogicalTable } from './logical-table.ts';
import { fullName, type ColumnFacts } from './document.ts';

export interface TableChange {
  readonly table: string;
  /** A sentence for the log line and the snapshot's reason. */
  readonly reason: string;
  /** Rows must be read again. */
  readonly reread: boolean;
  /** Rows may have gone: what the new reading does not find is to be removed. */
  readonly sweep: boolean;
  /** Transactions that were open meanwhile may go on by the old terms: only when they have ended, all rows come by the new ones. */
  readonly lingers: boolean;
}

type Note = (reason: string, reread: boolean, sweep: boolean, lingers?: boolean) => void;

/** `holdsRows` tells of a newly attached leaf whether anything was in it. */
export function changesBetween(before: KnownTable, after: LogicalTable, holdsRows: (leaf: Leaf) => boolean): TableChange[] {
  const changes: TableChange[] = [];
  const note: Note = (reason, reread, sweep, lingers = false) => {
    changes.push({ table: after.table, reason, reread, sweep, lingers });
  };
  if (before.missed) note(`changes of ${after.table} were not sent for a while`, true, true, true);
  const same = before.root === after.root.oid;
  if (!same) note(`table ${after.table} was dropped and made again`, true, true);
  const old = new Map(before.leaves.map((leaf) => [leaf.oid, leaf]));
  for (const leaf of after.leaves) {
    const known = old.get(leaf.relation.oid);
    old.delete(leaf.relation.oid);
    if (known !== undefined) noteLeaf(known, leaf, new Set(after.key), note);
    else if (same) note(`${fullName(leaf.relation)} became a part of ${after.table}`, holdsRows(leaf), false);
  }
  if (same) for (const leaf of old.values()) note(`${leaf.name} is no longer a part of ${after.table}`, true, true);
  return changes;
}

function noteLeaf(before: KnownLeaf, after: Leaf, key: ReadonlySet<string>, note: Note): void {
  const name = fullName(after.relation);
  const whole = key.size === 0;
  const rekeyed = (column: string): boolean => whole || key.has(column);
  if (before.filter !== after.filter) note(`the row filter of ${name} changed`, true, true, true);
  // Whether it was out of the publication in between, or only got other terms at once, nothing tells.
  else if (!sameMembers(before.membership, after.relation.membership ?? [])) note(`${name} was published anew`, true, true, true);
  const stored = new Map(before.columns.map((column) => [column.number, column]));
  const rewritten = before.file !== after.relation.file;
  for (const column of after.columns) {
    const atRest = after.relation.columns.find((own) => own.name === column.name);
    const known = atRest === undefined ? undefined : stored.get(atRest.number);
    if (known === undefined) note(`column ${column.name} was added to ${name}`, whole || rewritten || atRest?.filled === true || column.generated !== '', whole);
    else if (known.name !== column.name) note(`column ${known.name} of ${name} was renamed to ${column.name}`, true, false);
    else if (!before.sent.includes(column.name)) note(`column ${column.name} of ${name} is now published`, true, whole, true);
    else if (known.type !== atRest?.type || known.modifier !== atRest.modifier) note(`column ${column.name} of ${name} is now ${column.formatted}`, rewritten, rewritten && rekeyed(column.name));
    else if (rewritten && known.version !== atRest.version) note(`column ${column.name} of ${name} may have been given other values`, true, rekeyed(column.name));
  }
  for (const column of before.sent) {
    const gone = !after.columns.some((sent) => sent.name === column || sentAs(after, before, column) === sent.name);
    if (gone) note(`column ${column} of ${name} is no longer sent`, whole, whole);
  }
  if (before.identity !== after.relation.identity) note(`the replica identity of ${name} changed`, false, false);
}

/** The name that a column of `before` has in `after`, by its number. */
function sentAs(after: Leaf, before: KnownLeaf, column: string): string | undefined {
  const number = before.columns.find((own) => own.name === column)?.number;
  return after.relation.columns.find((own: ColumnFacts) => own.number === number)?.name;
}

function sameMembers(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((oid, i) => oid === b[i]);
}
