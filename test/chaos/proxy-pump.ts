/** One direction of a proxied connection: bytes wait in a bounded queue until the mode lets them go on. */
import type { Socket } from 'node:net';

export type Direction = 'to_upstream' | 'to_client';

export type ProxyMode =
  /** Forward. */
  | { readonly kind: 'pass' }
  /** Nothing goes through and nobody is told: no data, no FIN, no RST. `direction` stalls only one way. */
  | { readonly kind: 'stall'; readonly direction?: Direction }
  /** Every connection, open or new, is reset on both sides. */
  | { readonly kind: 'cut' }
  /** New connections are refused; open ones go on. */
  | { readonly kind: 'refuse' }
  /** Every byte arrives `ms` later; the bandwidth stays. */
  | { readonly kind: 'latency'; readonly ms: number }
  /** Bytes leave in segments of at most `bytes`, each in a write and a turn of the event loop of its own. */
  | { readonly kind: 'slice'; readonly bytes: number }
  /** The upstream sees the connection end; the client sees nothing, and what it sends is lost. */
  | { readonly kind: 'half_open' };

export interface ProxyCounters {
  /** Connections accepted from clients since the start. */
  accepted: number;
  /** Connections that `cut` reset. */
  cut: number;
  /** Bytes handed to the upstream's socket. */
  toUpstreamBytes: number;
  /** Bytes handed to clients' sockets. */
  toClientBytes: number;
}

/** Above this, the sender's socket is not read, and TCP tells the sender to wait. */
const queuedBytesMax = 1 << 20;

interface Queued {
  /** Undefined is the sender's FIN. */
  readonly chunk: Buffer | undefined;
  readonly arrivedMs: number;
}

export class Pump {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #direction: Direction;
  readonly #counters: ProxyCounters;
  readonly #queue: Queued[] = [];
  #queuedBytes = 0;
  #mode: ProxyMode = { kind: 'pass' };
  #draining = false;
  #detached = false;
  #wake: (() => void) | undefined;

  constructor(from: Socket, to: Socket, direction: Direction, counters: ProxyCounters) {
    this.#from = from;
    this.#to = to;
    this.#direction = direction;
    this.#counters = counters;
    from.on('data', this.#onData);
    from.on('end', this.#onEnd);
  }

  apply(mode: ProxyMode): void {
    this.#mode = mode;
    this.#wake?.();
    this.#drain();
  }

  /** Forgets what is queued and takes no more. */
  detach(): void {
    this.#detached = true;
    this.#from.off('data', this.#onData);
    this.#from.off('end', this.#onEnd);
    this.#wake?.();
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#queuedBytes += chunk.length;
    if (this.#queuedBytes >= queuedBytesMax) this.#from.pause();
    this.#push(chunk);
  };

  readonly #onEnd = (): void => this.#push(undefined);

  #push(chunk: Buffer | undefined): void {
    this.#queue.push({ chunk, arrivedMs: performance.now() });
    this.#drain();
  }

  #drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    // Writing fails when the receiver is gone; its socket's own error has reset the connection already.
    this.#forwardAll().catch(() => this.detach());
  }

  async #forwardAll(): Promise<void> {
    for (;;) {
      const head = this.#queue[0];
      if (head === undefined || this.#detached || this.#stalled) {
        this.#draining = false;
        return;
      }
      const waitMs = this.#mode.kind === 'latency' ? head.arrivedMs + this.#mode.ms - performance.now() : 0;
      if (waitMs > 0) {
        // The mode may change meanwhile: look again after any wake.
        await this.#pause(waitMs);
        continue;
      }
      this.#queue.shift();
      if (head.chunk === undefined) this.#to.end();
      else await this.#forward(head.chunk);
    }
  }

  get #stalled(): boolean {
    return this.#mode.kind === 'stall' && (this.#mode.direction ?? this.#direction) === this.#direction;
  }

  /** Writes a chunk; one that is being sliced stops where it is when the mode changes, and its rest goes back to the queue. */
  async #forward(chunk: Buffer): Promise<void> {
    let done = 0;
    while (done < chunk.length && !this.#detached) {
      if (this.#stalled) {
        this.#queue.unshift({ chunk: chunk.subarray(done), arrivedMs: 0 });
        break;
      }
      const size = this.#mode.kind === 'slice' ? this.#mode.bytes : chunk.length;
      const piece = chunk.subarray(done, done + size);
      done += piece.length;
      await this.#write(piece);
      // A receiver in this same process would otherwise find many pieces at once when its turn comes.
      if (done < chunk.length) await new Promise((resolve) => setImmediate(resolve));
    }
    this.#queuedBytes -= done;
    if (this.#queuedBytes < queuedBytesMax && !this.#detached) this.#from.resume();
  }

  async #write(piece: Buffer): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#to.write(piece, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
    this.#counters[this.#direction === 'to_client' ? 'toClientBytes' : 'toUpstreamBytes'] += piece.length;
  }

  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }
}
