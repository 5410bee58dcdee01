/**
 * A connection's socket, and how its bytes are taken over from pg.
 *
 * Node reads each piece of a socket's bytes into new memory, which costs as much as everything that is then done with a row. A socket that is
 * not encrypted can read into one buffer over and over instead: half the time. Until it is taken over pg gets copies, because it keeps what
 * it gets. An encrypted socket's bytes come from its decryption, piece by piece in new memory.
 */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';

const BUFFER_BYTES = 128 * 1024;

/** Takes a piece of the socket's bytes, valid during the call. */
export type PieceListener = (piece: Buffer) => void;

export class SocketPieces {
  readonly socket: Socket;
  readonly #reusesBuffer: boolean;
  #onPiece: PieceListener | null = null;

  constructor(reusesBuffer: boolean) {
    this.#reusesBuffer = reusesBuffer;
    this.socket = reusesBuffer ? this.#bufferedSocket() : new Socket();
  }

  /**
   * True when bytes that come while the socket is paused are one piece afterwards. Those of an encrypted socket stay as many as the server
   * sent: each message is a record of its own.
   */
  get gathers(): boolean {
    return this.#reusesBuffer;
  }

  /**
   * From here on pieces go to `onPiece` instead of to pg, whose listener is returned. `stream` is what pg reads: the socket, or what decrypts it.
   * To be called while the connection is idle, so that pg holds no part of a message.
   */
  take(stream: Duplex, onPiece: PieceListener): PieceListener {
    const [ofPg, ...others] = stream.listeners('data') as PieceListener[];
    if (ofPg === undefined || others.length > 0) {
      throw new TailraceError('INVARIANT', { message: `pg has ${stream.listenerCount('data')} listeners on its socket's data; they are taken over from exactly one.` });
    }
    stream.removeAllListeners('data');
    if (this.#reusesBuffer && stream === this.socket) this.#onPiece = onPiece;
    else stream.on('data', onPiece);
    return ofPg;
  }

  #bufferedSocket(): Socket {
    const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
    const callback = (bytes: number): boolean => {
      const piece = buffer.subarray(0, bytes);
      if (this.#onPiece === null) this.socket.emit('data', Buffer.from(piece));
      else this.#onPiece(piece);
      return true;
    };
    return new Socket({ onread: { buffer, callback } });
  }
}
