/**
 * Cuts a table into ranges that can be read beside each other. Blocks that come to a relation later need no range: their rows were written
 * after the session began, so they are in the stream.
 */
import { invariant } from '../../../../src/errors/invariant.ts';
import type { LeafShape } from '../catalog/catalog.ts';
import { fullName } from '../catalog/document.ts';
import type { Query } from '../connection/query.ts';
import { encodeRange } from './tid-range.ts';

/** Below this a range of its own is not worth a connection of its own: 4 MiB of heap. */
const RANGE_BLOCKS_MIN = 512;

/** A table that is rewritten again and again while it is measured. */
const MEASURE_ATTEMPTS_MAX = 10;

/** The file is looked at before and after its size: only then do the two belong together. */
const MEASURE = `
  SELECT leaf.oid, pg_relation_filenode(leaf.oid::oid) AS file, pg_relation_size(leaf.oid::oid) / current_setting('block_size')::int8 AS blocks, pg_relation_filenode(leaf.oid::oid) AS file_after
  FROM unnest($1::int8[]) AS leaf(oid)`;

/** `parallel` ranges or more that cover the leaves, of their selected rows; fewer when there is not that much. */
export async function planRanges(query: Query, leaves: readonly LeafShape[], parallel: number, predicate: string | undefined, signal: AbortSignal): Promise<Uint8Array[]> {
  const measured = await measure(query, leaves, signal);
  let total = 0;
  for (const { blocks } of measured.values()) total += blocks;
  const rangeBlocks = Math.max(RANGE_BLOCKS_MIN, Math.ceil(total / Math.max(1, parallel)));
  const ranges: Uint8Array[] = [];
  for (const { relation } of leaves) {
    // One that is gone by now is none of the table's any more.
    const { file, blocks } = measured.get(relation.oid) ?? { file: 0, blocks: 0 };
    for (let block = 0; block < blocks; block += rangeBlocks) {
      ranges.push(encodeRange({ relation: fullName(relation), oid: relation.oid, file, from: { block, line: 0 }, to: Math.min(blocks, block + rangeBlocks), predicate }));
    }
  }
  return ranges;
}

interface Measure {
  readonly file: number;
  readonly blocks: number;
}

async function measure(query: Query, leaves: readonly LeafShape[], signal: AbortSignal): Promise<ReadonlyMap<number, Measure>> {
  const measured = new Map<number, Measure>();
  let pending = leaves.map((leaf) => leaf.relation.oid);
  for (let attempt = 0; pending.length > 0; attempt += 1) {
    invariant(attempt < MEASURE_ATTEMPTS_MAX, 'a table keeps its file while it is measured');
    const rows = await query(MEASURE, [pending], signal);
    pending = [];
    for (const row of rows) {
      const oid = Number(row['oid']);
      if (row['file'] !== row['file_after']) pending.push(oid);
      else if (row['file'] !== null && row['blocks'] !== null) measured.set(oid, { file: Number(row['file']), blocks: Number(row['blocks']) });
    }
  }
  return measured;
}
