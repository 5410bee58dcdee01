/**
 * Takes the socket of a streaming connection over from pg: the stream's data goes to us, everything else to pg as before.
 *
 * pg parses each message into objects, and hands out views into a buffer that it then writes over. Both are too dear here. To be taken
 * while the connection is idle, so that pg's parser holds no part of a message. What is not CopyData (errors, notices, the answers
 * to commands, the end of the stream) is forwarded whole, so that pg and pg-logical-replication see it and behave as they always do.
 */
import type { Duplex } from 'node:stream';
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import { MessageReader, type BodyParts, type MessageConsumer } from './message-reader.ts';
import { KEEPALIVE_BYTES, ReplicationTag, XLOG_DATA_HEADER_BYTES } from './replication-message.ts';
import type { PieceListener, SocketPieces } from './socket-pieces.ts';

const COPY_DATA = 0x64;
/** The answer to START_REPLICATION: the stream follows. */
const COPY_BOTH = 0x57;
const HEADER_BYTES = 5;

export interface MuxHandlers {
  /** The server has accepted the stream; nothing of it has been handled yet. */
  began(): void;
  /** A message of the output plugin, in `bytes` from `start` to `end`, valid during the call. */
  pluginMessage(bytes: Buffer, start: number, end: number): void;
  /** Body of a CopyData message that is larger than `bodyBytesMax`. */
  largeMessage(): BodyParts;
  /** The server has decoded everything up to `lsn`. */
  keepalive(lsn: bigint, replyRequested: boolean): void;
  /** So many bytes came, of whatever kind, and as much of them has been handled as could be. */
  received(bytes: number): void;
  /** A handler threw, or the bytes are not what the protocol allows. Nothing is read any more. */
  failed(error: unknown): void;
}

export class Mux implements MessageConsumer {
  readonly #socket: Duplex;
  readonly #handlers: MuxHandlers;
  readonly #reader: MessageReader;
  readonly #toPg: PieceListener;
  #discarding = false;
  #failed = false;

  constructor(socket: Duplex, pieces: Pick<SocketPieces, 'take'>, handlers: MuxHandlers, bodyBytesMax: number) {
    this.#socket = socket;
    this.#handlers = handlers;
    this.#reader = new MessageReader(this, bodyBytesMax);
    this.#toPg = pieces.take(socket, (piece) =>
      this.#guarded(() => {
        this.#reader.push(piece);
        handlers.received(piece.length);
      }),
    );
  }

  /** Stops behind the message that is being handled; the socket is not read on. */
  pause(): void {
    this.#reader.hold();
    this.#socket.pause();
  }

  resume(): void {
    if (this.#failed) return;
    this.#guarded(() => this.#reader.release());
    if (!this.#reader.held) this.#socket.resume();
  }

  /** From here on the stream's data is dropped; only what pg waits for is still read. */
  discard(): void {
    this.#discarding = true;
    this.resume();
  }

  message(type: number, bytes: Buffer, start: number, end: number): void {
    if (type === COPY_DATA) {
      if (!this.#discarding) this.#copyData(bytes, start, end);
      return;
    }
    this.#forward(bytes, start - HEADER_BYTES, end);
    if (type === COPY_BOTH) this.#handlers.began();
  }

  largeMessage(type: number): BodyParts {
    if (type !== COPY_DATA) throw new TailraceError('SRC_PROTOCOL', { message: `The server sent a message of type ${type} that is too large for what it is.` });
    return this.#discarding ? dropped : this.#handlers.largeMessage();
  }

  #copyData(bytes: Buffer, start: number, end: number): void {
    const kind = bytes[start];
    if (kind === ReplicationTag.xlogData && end - start > XLOG_DATA_HEADER_BYTES) {
      this.#handlers.pluginMessage(bytes, start + XLOG_DATA_HEADER_BYTES, end);
    } else if (kind === ReplicationTag.keepalive && end - start === KEEPALIVE_BYTES) {
      this.#handlers.keepalive(bytes.readBigUInt64BE(start + 1), bytes[start + 17] === 1);
    } else throw new TailraceError('SRC_PROTOCOL', { message: `The server sent a message of kind ${kind} and ${end - start} bytes in its stream.` });
  }

  #forward(bytes: Buffer, start: number, end: number): void {
    // A copy: pg may keep views of what it gets.
    const message = Buffer.from(bytes.subarray(start, end));
    this.#toPg.call(this.#socket, message);
  }

  #guarded(work: () => void): void {
    if (this.#failed) return;
    try {
      work();
    } catch (error) {
      // Thrown into the socket's handler it would end the process; the stream fails with it instead.
      this.#failed = true;
      this.#socket.pause();
      this.#handlers.failed(error);
    }
  }
}

const dropped: BodyParts = { part: () => {}, end: () => {} };
