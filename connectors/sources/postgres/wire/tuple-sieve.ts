/**
 * Reads one row of any size from parts and writes it as a tuple (`../tuple.ts`), leaving out the values that are larger than the limits:
 * what is held is at most a row within the limits, however large the row is.
 *
 * Two forms come in: pgoutput's TupleData, whose columns begin with a kind byte, and the DataRow message of a query, whose columns are an
 * i32 length (-1 for null) and the value. Both begin with the u16 count of columns.
 */
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import { ColumnKindByte, keepsValue, type RowLimits } from '../tuple.ts';
import type { GrowingBytes } from './growing-bytes.ts';

export type RowForm = 'tuple' | 'data_row';

type Step = 'count' | 'kind' | 'length' | 'keep' | 'skip' | 'done';

export class TupleSieve {
  readonly #form: RowForm;
  readonly #limits: RowLimits;
  readonly #out: GrowingBytes;
  #step: Step = 'done';
  #columnsLeft = 0;
  #valueLeft = 0;
  #keptBytes = 0;
  /** Bytes of a number that is split between parts. */
  #number = 0;
  #numberBytes = 0;

  constructor(form: RowForm, limits: RowLimits, out: GrowingBytes) {
    this.#form = form;
    this.#limits = limits;
    this.#out = out;
  }

  /** A row begins with the next part; its tuple is added to what `out` holds. */
  begin(): void {
    this.#step = 'count';
    this.#keptBytes = 0;
    this.#number = 0;
    this.#numberBytes = 0;
  }

  get done(): boolean {
    return this.#step === 'done';
  }

  /** Reads from `start` to `end` or to the end of the row, and returns where it stopped. */
  read(bytes: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && this.#step !== 'done') {
      switch (this.#step) {
        case 'count':
        case 'length':
          at = this.#readNumber(bytes, at, end);
          break;
        case 'kind':
          this.#readKind(bytes[at] as number);
          at += 1;
          break;
        case 'keep':
        case 'skip':
          at = this.#readValue(bytes, at, end);
          break;
      }
    }
    return at;
  }

  #readNumber(bytes: Buffer, start: number, end: number): number {
    const size = this.#step === 'count' ? 2 : 4;
    let at = start;
    while (at < end && this.#numberBytes < size) {
      this.#number = ((this.#number << 8) | (bytes[at] as number)) >>> 0;
      this.#numberBytes += 1;
      at += 1;
    }
    if (this.#numberBytes < size) return at;
    const value = this.#number;
    this.#number = 0;
    this.#numberBytes = 0;
    if (this.#step === 'count') {
      this.#out.addByte(value >>> 8);
      this.#out.addByte(value & 0xff);
      this.#columnsLeft = value;
      this.#nextColumn();
    } else this.#beginValue(value);
    return at;
  }

  #readKind(kind: number): void {
    if (kind === ColumnKindByte.text) this.#step = 'length';
    else if (kind === ColumnKindByte.null || kind === ColumnKindByte.unchanged) {
      this.#out.addByte(kind);
      this.#columnDone();
    } else throw new TailraceError('SRC_PROTOCOL', { message: `The server sent a row that has a column of kind ${kind}.` });
  }

  #beginValue(length: number): void {
    if (this.#form === 'data_row' && length === 0xffff_ffff) {
      this.#out.addByte(ColumnKindByte.null);
      this.#columnDone();
      return;
    }
    const keep = keepsValue(this.#limits, length, this.#keptBytes);
    this.#out.addByte(keep ? ColumnKindByte.text : ColumnKindByte.leftOut);
    this.#out.addUint32(length);
    if (keep) this.#keptBytes += length;
    this.#valueLeft = length;
    if (length === 0) this.#columnDone();
    else this.#step = keep ? 'keep' : 'skip';
  }

  #readValue(bytes: Buffer, start: number, end: number): number {
    const until = Math.min(end, start + this.#valueLeft);
    if (this.#step === 'keep') this.#out.add(bytes, start, until);
    this.#valueLeft -= until - start;
    if (this.#valueLeft === 0) this.#columnDone();
    return until;
  }

  #columnDone(): void {
    this.#columnsLeft -= 1;
    this.#nextColumn();
  }

  #nextColumn(): void {
    if (this.#columnsLeft === 0) this.#step = 'done';
    else this.#step = this.#form === 'tuple' ? 'kind' : 'length';
  }
}
