/**
 * How much of a table a chunk should take: learnt from the chunks before, so that a chunk's rows come near the wanted bytes whatever lies in
 * the table: narrow rows, values out of line, blocks full of dead rows.
 */

/** The first chunk of a table: 4 MiB of heap, and not more rows than even large ones would make harmless. */
const FIRST_BLOCKS = 512;
const FIRST_ROWS = 1_000;
/** A chunk stays short, however little it finds: 128 MiB of heap. */
const BLOCKS_MAX = 16_384;
const ROWS_MAX = 1_000_000;
/** Rows asked for beyond those expected, so that the end of the blocks and not the number of rows ends most chunks. */
const ROWS_MARGIN = 1.25;
/** A chunk takes at most so many times as many blocks as the one before. */
const GROWTH_MAX = 4;

export class ChunkSize {
  #blocks = FIRST_BLOCKS;
  #rowsMax = FIRST_ROWS;

  /** Blocks to look through. */
  get blocks(): number {
    return this.#blocks;
  }

  /** Rows to ask for at most. */
  get rowsMax(): number {
    return this.#rowsMax;
  }

  /** A chunk found `rows` rows of `bytes` bytes in `blocks` blocks. */
  learn(rows: number, bytes: number, blocks: number, bytesWanted: number): void {
    const fitting = bytes === 0 ? Infinity : Math.floor((blocks * bytesWanted) / bytes);
    this.#blocks = Math.max(1, Math.min(fitting, this.#blocks * GROWTH_MAX, BLOCKS_MAX));
    if (rows === 0) return;
    this.#rowsMax = Math.max(1, Math.min(Math.ceil((ROWS_MARGIN * bytesWanted * rows) / bytes), ROWS_MAX));
  }
}
