/**
 * What the catalog said of the tables when it was last compared: enough to tell what DDL has done to rows since, also when it was run while
 * nobody watched. The session gives it to the log to keep, and takes it back at the next connect.
 *
 * Tables that are no longer asked for stay in it, so that one that is asked for again is compared with what it was.
 */
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import { fullName, type ColumnFacts, type RelationFacts } from './document.ts';
import type { LogicalTable } from './logical-table.ts';

export type KnownColumn = Pick<ColumnFacts, 'number' | 'name' | 'type' | 'modifier' | 'version'>;

export interface KnownLeaf {
  readonly oid: number;
  readonly name: string;
  readonly file: number | null;
  readonly identity: RelationFacts['identity'];
  readonly membership: readonly number[];
  readonly filter: string | null;
  /** Columns as they are stored. */
  readonly columns: readonly KnownColumn[];
  /** Names of the columns that the publication sends. */
  readonly sent: readonly string[];
}

export interface KnownTable {
  readonly root: number;
  readonly rootColumns: readonly KnownColumn[];
  /** Names of the key's columns in key order; empty when the whole row is the key. */
  readonly key: readonly string[];
  /** The key is the configuration's; otherwise it was found in the catalog. */
  readonly keyGiven: boolean;
  /** The table was not sent for a while: changes of that time are in no stream. */
  readonly missed: boolean;
  readonly leaves: readonly KnownLeaf[];
}

/** By full name. */
export type KnownTables = ReadonlyMap<string, KnownTable>;

export function knownTable(table: LogicalTable, keyGiven: boolean): KnownTable {
  const leaves = table.leaves.map(
    ({ relation, columns, filter }): KnownLeaf => ({
      oid: relation.oid,
      name: fullName(relation),
      file: relation.file,
      identity: relation.identity,
      membership: relation.membership ?? [],
      filter,
      columns: relation.columns.map(knownColumn),
      sent: columns.map(({ name }) => name),
    }),
  );
  return { root: table.root.oid, rootColumns: table.root.columns.map(knownColumn), key: table.key, keyGiven, missed: false, leaves };
}

function knownColumn({ number, name, type, modifier, version }: ColumnFacts): KnownColumn {
  return { number, name, type, modifier, version };
}

/** Raised when the form changes in a way that an older reader would misunderstand. */
const FORM = 1;

type StoredColumn = readonly [number: number, name: string, type: number, modifier: number, version: string];
type StoredLeaf = Omit<KnownLeaf, 'columns' | 'sent'> & { readonly columns: number; readonly sent: number };
type StoredTable = Omit<KnownTable, 'leaves' | 'rootColumns'> & { readonly rootColumns: number; readonly leaves: readonly StoredLeaf[] };

interface Stored {
  readonly form: number;
  readonly columns: readonly (readonly StoredColumn[])[];
  readonly sent: readonly (readonly string[])[];
  readonly tables: readonly (readonly [table: string, known: StoredTable])[];
}

/** Lists that thousands of partitions have in common are written once. Equal tables have equal bytes. */
export function encodeKnown(tables: KnownTables): Buffer {
  const columns = new Pool<readonly StoredColumn[]>();
  const sent = new Pool<readonly string[]>();
  const columnsOf = (list: readonly KnownColumn[]): number => columns.put(list.map(({ number, name, type, modifier, version }) => [number, name, type, modifier, version]));
  const stored = [...tables]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, known]): readonly [string, StoredTable] => {
      const leaves = known.leaves.map((leaf) => ({ ...leaf, columns: columnsOf(leaf.columns), sent: sent.put(leaf.sent) }));
      return [name, { ...known, rootColumns: columnsOf(known.rootColumns), leaves }];
    });
  return Buffer.from(JSON.stringify({ form: FORM, columns: columns.items, sent: sent.items, tables: stored } satisfies Stored));
}

/** Throws LOG_CORRUPT when the bytes are not what `encodeKnown` wrote. */
export function decodeKnown(bytes: Uint8Array): KnownTables {
  try {
    const { form, columns, sent, tables } = JSON.parse(Buffer.from(bytes).toString()) as Stored;
    if (form !== FORM) throw new Error(`it has the form ${form}`);
    const columnsAt = (place: number): KnownColumn[] => at(columns, place).map(([number, name, type, modifier, version]) => ({ number, name, type, modifier, version }));
    return new Map(
      tables.map(([name, known]) => {
        const leaves = known.leaves.map((leaf) => ({ ...leaf, columns: columnsAt(leaf.columns), sent: at(sent, leaf.sent) }));
        return [name, { ...known, rootColumns: columnsAt(known.rootColumns), leaves }];
      }),
    );
  } catch (cause) {
    throw new TailraceError('LOG_CORRUPT', { message: 'What the change log remembers of a source\'s tables cannot be read.', cause });
  }
}

function at<T>(list: readonly T[], place: number): T {
  const item = list[place];
  if (item === undefined) throw new Error(`nothing is at place ${place}`);
  return item;
}

/** Gives equal items one place. */
class Pool<T> {
  readonly items: T[] = [];
  readonly #places = new Map<string, number>();

  put(item: T): number {
    const text = JSON.stringify(item);
    const known = this.#places.get(text);
    if (known !== undefined) return known;
    const place = this.items.push(item) - 1;
    this.#places.set(text, place);
    return place;
  }
}
