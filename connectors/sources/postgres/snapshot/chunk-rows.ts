/** Collects a chunk's rows as they arrive: tuples and keys in two buffers, without an object or a string for each. */
import type { Chunk } from '../../../../src/connector/source.ts';
import { invariant } from '../../../../src/errors/invariant.ts';
import type { TableShape } from '../catalog/shape.ts';
import { KeyWriter } from '../row-key.ts';
import { ColumnKindByte, lengthAt, TupleLayout, valueStart } from '../tuple.ts';
import { ordinalOfText } from './tid-range.ts';

const COUNT_BYTES = 2;

export class ChunkRows {
  readonly #shape: TableShape;
  readonly #layout = new TupleLayout();
  readonly #key = new KeyWriter();
  #bytes: Buffer;
  #length = 0;
  #keys: Buffer;
  #keysLength = 0;
  readonly #offsets: number[] = [0];
  readonly #keyOffsets: number[] = [0];
  #lastOrdinal = -1;

  /** `bytesExpected` is what the buffers begin with. */
  constructor(shape: TableShape, bytesExpected: number) {
    this.#shape = shape;
    this.#bytes = Buffer.allocUnsafeSlow(bytesExpected);
    this.#keys = Buffer.allocUnsafeSlow(Math.max(1024, bytesExpected >> 3));
  }

  get count(): number {
    return this.#offsets.length - 1;
  }

  get byteLength(): number {
    return this.#length;
  }

  /** Place of the last row that was added with it; -1 when there is none. */
  get lastOrdinal(): number {
    return this.#lastOrdinal;
  }

  /** Adds a row as it is. */
  add(bytes: Buffer, start: number, end: number): void {
    this.#reserve(end - start);
    bytes.copy(this.#bytes, this.#length, start, end);
    this.#added(end - start);
  }

  /**
   * Adds a row whose first column is its `ctid`, which is left out. Such rows come in the order of their places: were one skipped or read
   * twice, the next chunk would begin in the wrong place.
   */
  addPlaced(bytes: Buffer, start: number, end: number): void {
    const place = start + COUNT_BYTES;
    invariant(bytes[place] === ColumnKindByte.text, 'every row of a heap has a place');
    const rest = valueStart(place) + lengthAt(bytes, place);
    const ordinal = ordinalOfText(bytes, valueStart(place), rest);
    invariant(ordinal > this.#lastOrdinal, 'rows of a range come in the order of their places');
    this.#lastOrdinal = ordinal;
    this.#addFrom(bytes, rest, end);
  }

  /** Adds a row whose first column is none of its own, and is left out. */
  addBehindOne(bytes: Buffer, start: number, end: number): void {
    const first = start + COUNT_BYTES;
    this.#addFrom(bytes, first + (bytes[first] === ColumnKindByte.text ? valueStart(0) + lengthAt(bytes, first) : 1), end);
  }

  /** The key of the row that was added last, as a view. */
  get lastKey(): Buffer {
    const last = this.#keyOffsets.length - 1;
    return this.#keys.subarray(this.#keyOffsets[last - 1], this.#keyOffsets[last]);
  }

  /** Forgets all rows. */
  clear(): void {
    this.#length = 0;
    this.#keysLength = 0;
    this.#offsets.length = 1;
    this.#keyOffsets.length = 1;
    this.#lastOrdinal = -1;
  }

  /** What was collected, as views: nothing may be added afterwards. */
  take(): Pick<Chunk, 'keyBytes' | 'keyOffsets' | 'bytes' | 'offsets'> {
    return { keyBytes: this.#keys, keyOffsets: this.#keyOffsets, bytes: this.#bytes.subarray(0, this.#length), offsets: this.#offsets };
  }

  /** Adds the columns that lie in `bytes` from `rest` on as a row. */
  #addFrom(bytes: Buffer, rest: number, end: number): void {
    const size = COUNT_BYTES + end - rest;
    this.#reserve(size);
    const columns = this.#shape.schema.columns.length;
    this.#bytes[this.#length] = columns >> 8;
    this.#bytes[this.#length + 1] = columns & 0xff;
    bytes.copy(this.#bytes, this.#length + COUNT_BYTES, rest, end);
    this.#added(size);
  }

  /** A row of `size` bytes lies behind the others. */
  #added(size: number): void {
    const layout = this.#layout;
    layout.read(this.#bytes, this.#length, this.#length + size);
    invariant(layout.count === this.#shape.schema.columns.length && layout.end === this.#length + size, 'a row has the columns that were asked for');
    this.#key.write(this.#bytes, layout, this.#shape.keyIndexes, this.#shape.schema.table);
    this.#addKey();
    this.#length += size;
    this.#offsets.push(this.#length);
  }

  #addKey(): void {
    const { bytes, length } = this.#key;
    if (this.#keysLength + length > this.#keys.length) this.#keys = grown(this.#keys, this.#keysLength, this.#keysLength + length);
    bytes.copy(this.#keys, this.#keysLength, 0, length);
    this.#keysLength += length;
    this.#keyOffsets.push(this.#keysLength);
  }

  #reserve(size: number): void {
    if (this.#length + size > this.#bytes.length) this.#bytes = grown(this.#bytes, this.#length, this.#length + size);
  }
}

function grown(from: Buffer, used: number, needed: number): Buffer {
  const into = Buffer.allocUnsafeSlow(Math.max(needed, from.length * 2));
  from.copy(into, 0, 0, used);
  return into;
}
