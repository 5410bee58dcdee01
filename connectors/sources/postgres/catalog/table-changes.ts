/**
 * What changed in a table without a change of rows in the stream: DDL writes none. Told by comparing two readings of the catalog.
 *
 * A table is read again when rows that are there now may differ from what the stream told: a column that is new to them has a value,
 * a partition came with rows. It is swept as well when rows may have gone, or go by another key: a partition left, the row filter changed,
 * a column of the key was rewritten. Where the whole row is the key, every column is of it.
 */
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
}

/** `holdsRows` tells of a newly attached leaf whether anything was in it. */
export function changesBetween(before: LogicalTable, after: LogicalTable, holdsRows: (leaf: Leaf) => boolean): TableChange[] {
  const changes: TableChange[] = [];
  const note = (reason: string, reread: boolean, sweep: boolean): void => {
    changes.push({ table: after.table, reason, reread, sweep });
  };
  if (before.root.oid !== after.root.oid) note(`table ${after.table} was dropped and made again`, true, true);
  const old = new Map(before.leaves.map((leaf) => [leaf.relation.oid, leaf]));
  for (const leaf of after.leaves) {
    const known = old.get(leaf.relation.oid);
    old.delete(leaf.relation.oid);
    if (known !== undefined) noteLeaf(known, leaf, new Set(after.key), note);
    else if (before.root.oid === after.root.oid) note(`${fullName(leaf.relation)} became a part of ${after.table}`, holdsRows(leaf), false);
  }
  if (before.root.oid === after.root.oid) for (const leaf of old.values()) note(`${fullName(leaf.relation)} is no longer a part of ${after.table}`, true, true);
  return changes;
}

function noteLeaf(before: Leaf, after: Leaf, key: ReadonlySet<string>, note: (reason: string, reread: boolean, sweep: boolean) => void): void {
  const name = fullName(after.relation);
  const rekeyed = (column: string): boolean => key.size === 0 || key.has(column);
  if (before.filter !== after.filter) note(`the row filter of ${name} changed`, true, true);
  const stored = new Map(before.relation.columns.map((column) => [column.number, column]));
  const rewritten = before.relation.file !== after.relation.file;
  for (const column of after.columns) {
    const atRest = after.relation.columns.find((own) => own.name === column.name);
    const known = atRest === undefined ? undefined : stored.get(atRest.number);
    const whole = key.size === 0;
    if (known === undefined) note(`column ${column.name} was added to ${name}`, whole || rewritten || atRest?.filled === true || column.generated !== '', whole);
    else if (known.name !== column.name) note(`column ${known.name} of ${name} was renamed to ${column.name}`, true, false);
    else if (!before.columns.some((sent) => sent.name === column.name)) note(`column ${column.name} of ${name} is now published`, true, whole);
    else if (!sameType(known, atRest as ColumnFacts)) note(`column ${column.name} of ${name} is now ${column.formatted}`, rewritten, rewritten && rekeyed(column.name));
  }
  for (const column of before.columns) {
    const gone = !after.columns.some((sent) => sent.name === column.name || sentAs(after, before, column) === sent.name);
    if (gone) note(`column ${column.name} of ${name} is no longer sent`, key.size === 0, key.size === 0);
  }
  if (before.relation.identity !== after.relation.identity) note(`the replica identity of ${name} changed`, false, false);
}

/** The name that a column of `before` has in `after`, by its number. */
function sentAs(after: Leaf, before: Leaf, column: ColumnFacts): string | undefined {
  const number = before.relation.columns.find((own) => own.name === column.name)?.number;
  return after.relation.columns.find((own) => own.number === number)?.name;
}

function sameType(a: ColumnFacts, b: ColumnFacts): boolean {
  return a.type === b.type && a.modifier === b.modifier;
}
