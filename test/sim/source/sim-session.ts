/** One connection of a simulated source. */
import type { DeclaredSchema } from '../../../src/change/schema.ts';
import type { ChangeSink, IncompleteRow, SnapshotReader, SourceHead, SourceSession, TableDescription } from '../../../src/connector/source.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import { sourceNowMs } from '../kernel/sim-clock.ts';
import type { SimProcess } from '../kernel/sim-process.ts';
import type { SimRandom } from '../kernel/sim-random.ts';
import type { ChunkWatch } from './chunk-watch.ts';
import { keyText } from './history.ts';
import type { VisibleRows } from './sim-database.ts';
import type { SimLink } from './sim-link.ts';
import { decodePosition, encodePosition } from './sim-position.ts';
import { decodeRow, encodeRow, type Cell } from './sim-row.ts';
import type { SimServer } from './sim-server.ts';
import type { SimMemory } from './sim-source.ts';
import { SimSnapshotReader } from './sim-snapshots.ts';
import { SimStream } from './sim-stream.ts';

/** Between two looks whether a transaction can be seen yet, and when a reader gives up waiting for it. */
const VISIBLE_POLL_MS = 5;
const VISIBLE_WITHIN_MS = 4_000;

export interface SimSessionParts {
  readonly server: SimServer;
  readonly process: SimProcess;
  readonly random: SimRandom;
  readonly link: SimLink;
  readonly tables: readonly TableDescription[];
  readonly start: number;
  /** Transactions that the log holds and that could not be seen as the session began. */
  readonly unproven: ReadonlySet<bigint>;
  readonly watch: ChunkWatch;
  /** Null for a source that remembers nothing. */
  readonly memory: Pick<SimMemory, 'note'> | null;
}

export class SimSession implements SourceSession {
  readonly identity: string;
  readonly tables: readonly TableDescription[];
  readonly start: Uint8Array;
  readonly snapshots: SnapshotReader;
  readonly #parts: SimSessionParts;
  readonly #stream: SimStream;

  constructor(parts: SimSessionParts) {
    this.#parts = parts;
    this.identity = parts.server.identity;
    this.tables = parts.tables;
    this.start = encodePosition(parts.start);
    this.#stream = new SimStream(parts);
    this.snapshots = new SimSnapshotReader({ ...parts, readProven: async (table, signal) => this.#readProven(table, signal) });
    parts.server.attach(parts.process, parts.link, () => this.#stream.wake());
  }

  async stream(sink: ChangeSink, signal: AbortSignal): Promise<void> {
    await this.#stream.run(sink, signal);
  }

  confirm(position: Uint8Array): void {
    const { server, process, link } = this.#parts;
    if (!process.seam('confirm')) return;
    const place = decodePosition(position);
    server.listener.confirmed(place);
    process.executor.after(this.#parts.random.real(0.5, 3), `${process.name} confirm ${place}`, () => {
      if (!link.isCut) server.confirm(place);
    });
  }

  nudge(): void {
    this.#parts.process.after(this.#parts.random.real(0.5, 3), 'nudge', () => this.#stream.nudge());
  }

  async completeRows(rows: readonly IncompleteRow[], signal: AbortSignal): Promise<(Uint8Array | 'gone')[]> {
    const { link } = this.#parts;
    const tables = new Map<string, VisibleRows>();
    for (const { schema } of rows) {
      if (!tables.has(schema.table)) tables.set(schema.table, await this.#readProven(schema.table, signal));
    }
    const completed = rows.map((row) => completedRow(row, tables.get(row.schema.table) as VisibleRows));
    await link.pass('completed rows', signal);
    return completed;
  }

  async head(signal: AbortSignal): Promise<SourceHead> {
    const { server, link, process } = this.#parts;
    await link.pass('head', signal);
    const { database, slot } = server;
    const head: SourceHead = {
      position: encodePosition(database.end),
      nowMs: sourceNowMs(process.executor.nowMs),
      retainedBytes: slot === null ? null : database.end - slot.confirmed,
      bytesUntilLoss: null,
      notes: [],
    };
    await link.pass('head', signal);
    return head;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { server, link } = this.#parts;
    link.cut('closed by us');
    server.detach(link);
  }

  /** The table as it is at one moment of the call, at which everything can be seen that was pushed before the call. */
  async #readProven(table: string, signal: AbortSignal): Promise<VisibleRows> {
    const { server, link, process } = this.#parts;
    const { database } = server;
    const mustSee = [...database.hiddenIds].filter((id) => this.#stream.hasPushed(id));
    const sinceMs = process.executor.nowMs;
    await link.pass('read', signal);
    while (mustSee.some((id) => database.isHidden(id))) {
      if (process.executor.nowMs - sinceMs > VISIBLE_WITHIN_MS) throw new TailraceError('SRC_SNAPSHOT_STALLED', { message: 'A transaction that is in the log cannot be seen.' });
      await link.pause('wait to see a transaction', VISIBLE_POLL_MS, signal);
    }
    return database.read(table);
  }
}

/** The row with the columns that were not sent, as they are now. */
function completedRow({ schema, row }: IncompleteRow, visible: VisibleRows): Uint8Array | 'gone' {
  const { values, notSent } = decodeRow(row);
  const found = visible.rows.get(keyText(values[0] as Cell));
  if (found === undefined) return 'gone';
  const names = visible.columns.map(({ name }) => name);
  const placeNow = (place: number): number => names.indexOf((schema as DeclaredSchema).columns[place]?.name ?? '');
  return encodeRow(values.map((value, i) => (notSent.has(i) ? (found.values[placeNow(i)] ?? null) : value)));
}
