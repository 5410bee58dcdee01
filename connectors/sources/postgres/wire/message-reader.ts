/**
 * Cuts a socket's bytes into PostgreSQL's messages, whatever pieces they arrive in, and in constant memory whatever their size.
 *
 * A message is a type byte, a u32 length that counts itself, and the body. A body that lies whole in one piece is handed over where it
 * lies; one that spans pieces is put together in a buffer that is used again; one larger than `bodyBytesMax` is handed over in parts.
 * Bytes are valid during the call only.
 *
 * The consumer may `hold` the reader in the middle of a piece: what is left, and every piece that still comes, waits in order for `release`.
 */
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';

/** Receives a body that is too large to be held, in parts. */
export interface BodyParts {
  part(bytes: Buffer, start: number, end: number): void;
  /** The body is complete. */
  end(): void;
}

export interface MessageConsumer {
  /** A whole message: its body lies in `bytes` from `start` to `end`, and the five bytes before `start` are its type and length. */
  message(type: number, bytes: Buffer, start: number, end: number): void;
  /** Asked for every message whose body is larger than `bodyBytesMax`. */
  largeMessage(type: number, bodyBytes: number): BodyParts;
}

const HEADER_BYTES = 5;
/** No message of the protocol is longer: PostgreSQL builds each in one allocation, which it limits to 1 GB. */
const BODY_BYTES_LIMIT = 2 ** 30;
const ASSEMBLY_BYTES = 64 * 1024;
/** An assembly buffer above this is given back when its message is done. */
const ASSEMBLY_KEPT_BYTES = 1024 * 1024;

export class MessageReader {
  readonly #consumer: MessageConsumer;
  readonly #bodyBytesMax: number;
  /** The beginning of a message of which the rest has not arrived; `#assembled` bytes of it. */
  #assembly = Buffer.allocUnsafeSlow(ASSEMBLY_BYTES);
  #assembled = 0;
  #parts: BodyParts | null = null;
  #partsLeft = 0;
  #held = false;
  #reading = false;
  #waiting: Buffer[] = [];

  constructor(consumer: MessageConsumer, bodyBytesMax: number) {
    this.#consumer = consumer;
    this.#bodyBytesMax = bodyBytesMax;
  }

  get held(): boolean {
    return this.#held;
  }

  /** Stops behind the message that is being handed over. */
  hold(): void {
    this.#held = true;
  }

  /** Goes on where `hold` stopped. */
  release(): void {
    this.#held = false;
    if (!this.#reading) this.#readWaiting();
  }

  /** Reads a piece of the stream. Its bytes may be written over afterwards: what has to wait is copied. */
  push(piece: Buffer): void {
    if (this.#held || this.#reading) {
      this.#waiting.push(Buffer.from(piece));
      return;
    }
    this.#readPiece(piece);
    if (!this.#held) this.#readWaiting();
  }

  #readWaiting(): void {
    while (!this.#held && this.#waiting.length > 0) this.#readPiece(this.#waiting.shift() as Buffer);
  }

  #readPiece(piece: Buffer): void {
    this.#reading = true;
    try {
      const end = piece.length;
      let at = 0;
      while (at < end && !this.#held) {
        if (this.#parts !== null) at = this.#readPart(piece, at);
        else if (this.#assembled > 0) at = this.#assemble(piece, at);
        else at = this.#readWhole(piece, at);
      }
      if (at < end) this.#waiting.unshift(Buffer.from(piece.subarray(at)));
    } finally {
      this.#reading = false;
    }
  }

  /** Hands over the messages that lie whole in the piece; what remains begins the next one. */
  #readWhole(piece: Buffer, from: number): number {
    const consumer = this.#consumer;
    const end = piece.length;
    let at = from;
    while (end - at >= HEADER_BYTES) {
      const bodyBytes = bodyLength(piece, at);
      if (bodyBytes > this.#bodyBytesMax) return this.#beginParts(piece[at] as number, bodyBytes, at + HEADER_BYTES);
      const bodyEnd = at + HEADER_BYTES + bodyBytes;
      if (bodyEnd > end) break;
      consumer.message(piece[at] as number, piece, at + HEADER_BYTES, bodyEnd);
      at = bodyEnd;
      if (this.#held) return at;
    }
    this.#append(piece, at, end);
    return end;
  }

  /** Adds to the message whose beginning came before; hands it over when it is complete. */
  #assemble(piece: Buffer, from: number): number {
    let at = from;
    if (this.#assembled < HEADER_BYTES) {
      at = Math.min(piece.length, from + HEADER_BYTES - this.#assembled);
      this.#append(piece, from, at);
      if (this.#assembled < HEADER_BYTES) return at;
    }
    const type = this.#assembly[0] as number;
    const bodyBytes = bodyLength(this.#assembly, 0);
    if (bodyBytes > this.#bodyBytesMax) {
      // Nothing of the body is here yet: a large message whose header came whole was noticed before it was put aside.
      this.#assembled = 0;
      return this.#beginParts(type, bodyBytes, at);
    }
    const size = HEADER_BYTES + bodyBytes;
    const until = Math.min(piece.length, at + size - this.#assembled);
    this.#append(piece, at, until, size);
    if (this.#assembled < size) return until;
    this.#assembled = 0;
    this.#consumer.message(type, this.#assembly, HEADER_BYTES, size);
    if (this.#assembly.length > ASSEMBLY_KEPT_BYTES) this.#assembly = Buffer.allocUnsafeSlow(ASSEMBLY_BYTES);
    return until;
  }

  #beginParts(type: number, bodyBytes: number, at: number): number {
    this.#parts = this.#consumer.largeMessage(type, bodyBytes);
    this.#partsLeft = bodyBytes;
    return at;
  }

  #readPart(piece: Buffer, from: number): number {
    const parts = this.#parts as BodyParts;
    const until = Math.min(piece.length, from + this.#partsLeft);
    this.#partsLeft -= until - from;
    if (this.#partsLeft === 0) this.#parts = null;
    parts.part(piece, from, until);
    if (this.#partsLeft === 0) parts.end();
    return until;
  }

  #append(from: Buffer, start: number, end: number, sizeHint = 0): void {
    const size = Math.max(sizeHint, this.#assembled + end - start);
    if (size > this.#assembly.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(size, ASSEMBLY_BYTES));
      this.#assembly.copy(grown, 0, 0, this.#assembled);
      this.#assembly = grown;
    }
    from.copy(this.#assembly, this.#assembled, start, end);
    this.#assembled += end - start;
  }
}

function bodyLength(bytes: Uint8Array, header: number): number {
  const length =
    (((bytes[header + 1] as number) << 24) | ((bytes[header + 2] as number) << 16) | ((bytes[header + 3] as number) << 8) | (bytes[header + 4] as number)) >>> 0;
  if (length < 4 || length > BODY_BYTES_LIMIT) {
    throw new TailraceError('SRC_PROTOCOL', { message: `The server sent a message of type ${JSON.stringify(String.fromCharCode(bytes[header] as number))} with a length of ${length}.` });
  }
  return length - 4;
}
