/**
 * A message of the stream that is larger than a value may be: read from parts, with its oversized values left out, so that a row with a
 * value of a gigabyte costs no more memory than a row within the limits.
 */
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import type { RowLimits } from '../tuple.ts';
import { GrowingBytes } from '../wire/growing-bytes.ts';
import type { BodyParts } from '../wire/message-reader.ts';
import { ReplicationTag, XLOG_DATA_HEADER_BYTES } from '../wire/replication-message.ts';
import { TupleSieve } from '../wire/tuple-sieve.ts';
import { MessageTag, TupleMark } from './message.ts';

/** Messages without rows are kept whole: a Truncate of thousands of tables, a Relation of a thousand columns. */
const ROWLESS_BYTES_MAX = 16 * 1024 * 1024;

/** Tag and relation OID, which begin every message with rows. */
const ROW_HEADER_BYTES = 5;

type Step = 'xlog_header' | 'tag' | 'row_header' | 'mark' | 'tuple' | 'whole';

export class LargeMessage implements BodyParts {
  readonly #onMessage: (bytes: Buffer, start: number, end: number) => void;
  readonly #out = new GrowingBytes();
  readonly #sieve: TupleSieve;
  #step: Step = 'xlog_header';
  #headerLeft = 0;

  /** `onMessage` gets the message as pgoutput would have sent it, but for values of kind 'x'. */
  constructor(limits: RowLimits, onMessage: (bytes: Buffer, start: number, end: number) => void) {
    this.#onMessage = onMessage;
    this.#sieve = new TupleSieve('tuple', limits, this.#out);
  }

  /** The body of a CopyData message begins with the next part. */
  begin(): this {
    this.#out.reset();
    this.#step = 'xlog_header';
    this.#headerLeft = XLOG_DATA_HEADER_BYTES;
    return this;
  }

  part(bytes: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) at = this.#read(bytes, at, end);
  }

  end(): void {
    if (this.#step !== 'whole' && this.#step !== 'mark') throw new TailraceError('SRC_PROTOCOL', { message: 'The server sent a row that ends before it is complete.' });
    this.#onMessage(this.#out.bytes, 0, this.#out.length);
  }

  #read(bytes: Buffer, at: number, end: number): number {
    switch (this.#step) {
      case 'xlog_header':
        return this.#readXlogHeader(bytes, at, end);
      case 'tag':
        return this.#readTag(bytes, at);
      case 'row_header': {
        const until = Math.min(end, at + ROW_HEADER_BYTES - this.#out.length);
        this.#out.add(bytes, at, until);
        if (this.#out.length === ROW_HEADER_BYTES) this.#step = 'mark';
        return until;
      }
      case 'mark':
        return this.#readMark(bytes, at);
      case 'tuple': {
        const until = this.#sieve.read(bytes, at, end);
        if (this.#sieve.done) this.#step = 'mark';
        return until;
      }
      case 'whole':
        if (this.#out.length + end - at > ROWLESS_BYTES_MAX) throw new TailraceError('SRC_PROTOCOL', { message: `The server sent a message without rows of more than ${ROWLESS_BYTES_MAX} bytes.` });
        this.#out.add(bytes, at, end);
        return end;
    }
  }

  #readXlogHeader(bytes: Buffer, at: number, end: number): number {
    if (this.#headerLeft === XLOG_DATA_HEADER_BYTES && bytes[at] !== ReplicationTag.xlogData) {
      throw new TailraceError('SRC_PROTOCOL', { message: `The server sent a message of kind ${bytes[at]} in its stream.` });
    }
    const until = Math.min(end, at + this.#headerLeft);
    this.#headerLeft -= until - at;
    if (this.#headerLeft === 0) this.#step = 'tag';
    return until;
  }

  #readTag(bytes: Buffer, at: number): number {
    const tag = bytes[at];
    this.#out.addByte(tag as number);
    if (tag === MessageTag.insert || tag === MessageTag.update || tag === MessageTag.delete) this.#step = 'row_header';
    else this.#step = 'whole';
    return at + 1;
  }

  #readMark(bytes: Buffer, at: number): number {
    const mark = bytes[at];
    if (mark !== TupleMark.new && mark !== TupleMark.key && mark !== TupleMark.old) {
      throw new TailraceError('SRC_PROTOCOL', { message: `The server sent a row marked ${mark}.` });
    }
    this.#out.addByte(mark);
    this.#sieve.begin();
    this.#step = 'tuple';
    return at + 1;
  }
}
