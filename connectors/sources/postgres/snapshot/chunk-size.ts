/**
 * How much of a relation a chunk should take: learnt from the chunks before, so that a chunk's rows come near the wanted bytes whatever lies
 * in the blocks: narrow rows, values out of line, dead rows.
 *
 * Usually a chunk is a number of whole blocks, which costs nothing per row. Where a block may hold more than is wanted, rows are asked for
 * with their places, so that a chunk can end at any of them.
 */

/** The first chunk of a relation: 4 MiB of heap. */
const FIRST_BLOCKS = 512;
/** A chunk stays short, however little it finds: 128 MiB of heap. */
const BLOCKS_MAX = 16_384;
/** A chunk takes at most so many times as many blocks as the one before. */
const GROWTH_MAX = 4;
/** Rows asked for beyond those expected, where a number of rows ends the chunk. */
const ROWS_MARGIN = 1.25;
const ROWS_MAX = 1_000_000;
/** The first rows that are asked for by number: few enough to hold, however large they are. */
const FIRST_ROWS = 8;
/** Whole blocks are read again when so many of them hold no more than is wanted. */
const WHOLE_BLOCKS_MIN = 16;

export class ChunkSize {
  #blocks = FIRST_BLOCKS;
  /** null while whole blocks are read. */
  #rowsMax: number | null = null;

  /** Blocks to look through. */
  get blocks(): number {
    return this.#blocks;
  }

  /** Rows to ask for at most, with their places; null for all rows of the blocks. */
  get rowsMax(): number | null {
    return this.#rowsMax;
  }

  /** Whole blocks held too much: what was read of them is of no use. */
  overflowed(): void {
    this.#rowsMax = FIRST_ROWS;
  }

  /** A chunk found `rows` rows of `bytes` bytes, and the next one begins `blocks` blocks after it. */
  learn(rows: number, bytes: number, blocks: number, bytesWanted: number): void {
    // A part of one block, however little of it, does not tell how much a block holds: taken for all of it, it would have whole blocks read again.
    const partial = blocks === 0 && rows > 0;
    const fitting = bytes === 0 ? Infinity : Math.floor((blocks * bytesWanted) / bytes);
    if (!partial) this.#blocks = Math.max(1, Math.min(fitting, this.#blocks * GROWTH_MAX, BLOCKS_MAX));
    if (this.#rowsMax === null || rows === 0) return;
    if (!partial && fitting >= WHOLE_BLOCKS_MIN) this.#rowsMax = null;
    else this.#rowsMax = Math.max(1, Math.min(Math.ceil((ROWS_MARGIN * bytesWanted * rows) / bytes), this.#rowsMax * GROWTH_MAX * GROWTH_MAX, ROWS_MAX));
  }
}
