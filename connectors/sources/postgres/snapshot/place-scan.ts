/**
 * The statement that reads some blocks of a heap, in the order of places, and looks at no other block: whatever the server's version.
 *
 * Since 14 the server scans a range of places by itself. 13 fetches single places only, and answers a condition on a range by reading the
 * whole table, for each chunk again. There each block is asked for with all the places it may have, in a nested loop over the blocks: a place
 * without a row costs a look at a page that is in memory, and a LIMIT ends the loop. Places behind the end of a relation that has become
 * shorter are passed over.
 * Sources: release notes of 14, "Allow efficient heap scanning of a range of TIDs"; nodeTidscan.c and htup_details.h of 13.
 */
import type { LeafShape } from '../catalog/catalog.ts';
import { quoteIdentifier, quoteQualified } from '../connection/identifier.ts';
import type { TupleId } from './tid-range.ts';

/** Ranges of places are scanned since. */
const RANGE_SCAN_VERSION = 140_000;

/** Leaves no other scan than the one by place, whose order is the order of places. */
const SCAN_BY_PLACE = 'SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_bitmapscan = off';

/** Of a page, and of each row in it: its header with its line pointer. A heap's page never has more lines than rows of no columns fit in. */
const PAGE_HEADER_BYTES = 24;
const ROW_OVERHEAD_BYTES = 28;

export interface PlaceScan {
  readonly leaf: LeafShape;
  readonly from: TupleId;
  /** The first block that is not read. */
  readonly until: number;
  /** Rows to be read at most, each with its `ctid` before its columns; null for all rows, without their places. */
  readonly rowsMax: number | null;
  /** A condition that was looked through (`predicate-text.ts`); null for all rows. */
  readonly predicate: string | null;
}

/** For within a transaction: `settings`, then `select`, which alone returns rows. */
interface PlaceStatements {
  readonly settings: string;
  readonly select: string;
}

/** `version`: `server_version_num`. */
export function scanPlaces(scan: PlaceScan, version: number): PlaceStatements {
  const select = `${version < RANGE_SCAN_VERSION ? selectByBlock(scan) : selectRange(scan)}${scan.rowsMax === null ? '' : ` LIMIT ${scan.rowsMax}`}`;
  return { settings: SCAN_BY_PLACE, select };
}

function selectRange(scan: PlaceScan): string {
  const { leaf, from, until } = scan;
  return `${selectOf(scan)} FROM ONLY ${heapOf(leaf)} WHERE ctid >= '(${from.block},${from.line})' AND ctid < '(${until},0)'${filterOf(scan)}`;
}

/**
 * The first block may begin within; the others are whole. An array of places is sorted by the scan. Because of its OFFSET the inner query is
 * planned by itself: only there does a block's array count as a constant, which the scan needs.
 */
function selectByBlock(scan: PlaceScan): string {
  const { leaf, from, until } = scan;
  const lines = `pg_catalog.generate_series(1, (pg_catalog.current_setting('block_size')::pg_catalog.int4 - ${PAGE_HEADER_BYTES}) / ${ROW_OVERHEAD_BYTES}) AS line`;
  // The places of block B as the text of an array, made once; putting a block's number for B is far quicker than making each place.
  const places = `(SELECT '{' || pg_catalog.string_agg('"(B,' || line || ')"', ',') || '}' FROM ${lines})`;
  const after = from.line > 1 ? ` AND ctid >= '(${from.block},${from.line})'` : '';
  const rows = `${selectOf(scan)} FROM ONLY ${heapOf(leaf)} AS heap WHERE ctid = ANY (pg_catalog.replace(blocks.places, 'B', blocks.block::pg_catalog.text)::pg_catalog.tid[])${after}${filterOf(scan)} OFFSET 0`;
  return `SELECT placed.* FROM (SELECT block, ${places} AS places FROM pg_catalog.generate_series(${from.block}, ${until - 1}) AS block) AS blocks, LATERAL (${rows}) AS placed`;
}

function selectOf({ leaf, rowsMax }: PlaceScan): string {
  const names = leaf.columns.map((column) => quoteIdentifier(column.name));
  return `SELECT ${(rowsMax === null ? names : ['ctid', ...names]).join(', ')}`;
}

function heapOf({ relation }: LeafShape): string {
  return quoteQualified(relation.namespace, relation.name);
}

function filterOf({ leaf: { filter }, predicate }: PlaceScan): string {
  return `${filter === null ? '' : ` AND (${filter})`}${predicate === null ? '' : ` AND (${predicate})`}`;
}
