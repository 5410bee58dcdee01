/** Notices when a row changes in the stream while the chunk that shows it is on its way into the log: what the engine's windows are for. */
import type { ServerListener } from './sim-server.ts';

interface OpenRead {
  readonly table: string;
  readonly pushed: Set<string>;
  /** Null while the chunk is being read. */
  keys: ReadonlySet<string> | null;
  high: number;
}

export class ChunkWatch {
  readonly #listener: ServerListener;
  readonly #reads = new Set<OpenRead>();
  readonly #asked = new Set<string>();

  constructor(listener: ServerListener) {
    this.#listener = listener;
  }

  /** A chunk is about to be read. */
  begin(table: string, range: Uint8Array): OpenRead {
    const asked = `${table} ${Buffer.from(range).toString()}`;
    if (this.#asked.has(asked)) this.#listener.happened('a chunk was read again');
    this.#asked.add(asked);
    const read: OpenRead = { table, pushed: new Set(), keys: null, high: Infinity };
    this.#reads.add(read);
    return read;
  }

  /** It shows these rows, as of `high` at the latest. */
  read(read: OpenRead, keys: ReadonlySet<string>, high: number): void {
    read.keys = keys;
    read.high = high;
    if (!keys.isDisjointFrom(read.pushed)) this.#listener.happened('a row changed while its chunk was read');
  }

  pushed(table: string, key: string): void {
    for (const read of this.#reads) {
      if (read.table !== table) continue;
      if (read.keys === null) read.pushed.add(key);
      else if (read.keys.has(key)) this.#listener.happened('a row changed while its chunk was read');
    }
  }

  /** The stream comes to a transaction that was committed at `place`. */
  comesTo(place: number): void {
    for (const read of this.#reads) if (read.high < place) this.#reads.delete(read);
  }
}
