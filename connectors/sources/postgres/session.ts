/** A connected Postgres source: the stream, the reads beside it, and what both share. */
import type { ChangeSink, IncompleteRow, SnapshotReader, SourceHead, SourceSession, TableDescription } from '../../../src/connector/source.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import { together } from '../../../src/runtime/abort.ts';
import type { Runtime } from '../../../src/runtime/runtime.ts';
import type { Catalog } from './catalog/catalog.ts';
import type { PostgresConfig } from './config.ts';
import type { Query } from './connection/query.ts';
import type { ReplicationConnection } from './connection/replication-connection.ts';
import { decodePosition, encodePosition } from './position.ts';
import { checkSlotUnmoved, type History } from './slot/history.ts';
import { KeptLog } from './slot/kept-log.ts';
import type { ServerFacts } from './slot/server-facts.ts';
import { readHead } from './slot/source-head.ts';
import type { RowCompleter } from './snapshot/row-completer.ts';
import { askUntil } from './stream/asking.ts';
import type { CatalogWatch } from './stream/catalog-watch.ts';
import { FlushNudge } from './stream/flush-nudge.ts';
import { startReplicationCommand } from './stream/start-command.ts';
import { StreamRun } from './stream/stream-run.ts';
import { keepVisibilitySmall } from './stream/visibility-upkeep.ts';
import { rowLimits } from './tuple.ts';
import type { VisibilityTracker } from './visibility.ts';

/** How long the end of the source is put off so that what it must remember becomes durable. */
const SETTLE_WITHIN_MS = 5_000;

/** Reads tables beside the stream. */
export interface TableReading {
  readonly snapshots: SnapshotReader & AsyncDisposable;
  readonly completer: RowCompleter;
}

interface SessionParts {
  readonly source: string;
  readonly runtime: Runtime;
  readonly config: PostgresConfig;
  readonly slot: string;
  readonly publication: string;
  readonly server: ServerFacts;
  readonly timeline: number;
  readonly history: History;
  readonly query: Query;
  readonly connection: ReplicationConnection;
  readonly catalog: Catalog;
  readonly watch: CatalogWatch;
  readonly visibility: VisibilityTracker;
  readonly reading: TableReading;
  /** Everything that the session has open. */
  readonly opened: AsyncDisposableStack;
}

export class PostgresSession implements SourceSession {
  readonly identity: string;
  readonly start: Uint8Array;
  readonly snapshots: SnapshotReader;
  readonly #parts: SessionParts;
  readonly #closed = new AbortController();
  readonly #flush: FlushNudge;
  readonly #keptLog: KeptLog;
  #run: StreamRun | null = null;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.identity = parts.history.identity;
    this.#keptLog = new KeptLog(parts.runtime.clock, parts.history.keptFrom);
    this.start = this.#positionAt(parts.history.startLsn);
    this.snapshots = parts.reading.snapshots;
    this.#flush = new FlushNudge(parts.runtime.clock, parts.query, this.#closed.signal);
  }

  get tables(): readonly TableDescription[] {
    return this.#parts.catalog.tables;
  }

  async stream(sink: ChangeSink, signal: AbortSignal): Promise<void> {
    const { watch, visibility, query, runtime } = this.#parts;
    if (this.#run !== null) throw new TailraceError('INVARIANT', { message: 'A session streams once.' });
    const ended = new AbortController();
    const either = AbortSignal.any([signal, ended.signal]);
    const run = new StreamRun(this.#streamDeps(sink, either), either);
    this.#run = run;
    watch.listen({
      catalogChanged: () => run.catalogChanged(),
      reread: (table, reason, sweep) => sink.reread(table, reason, sweep),
      remember: (state) => sink.remember(state),
      get pushedLsn() {
        return run.pushedLsn;
      },
      nudge: () => this.nudge(),
      settled: async () => this.#settled(run, either),
    });
    try {
      await together(either, [
        async (s) => run.run(s),
        async (s) => watch.run(s),
        async (s) => keepVisibilitySmall(visibility, query, runtime.clock, s),
      ]);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      ended.abort();
    }
  }

  confirm(position: Uint8Array): void {
    this.#run?.confirm(decodePosition(position).lsn);
  }

  nudge(): void {
    this.#run?.nudge();
    this.#flush.nudge().catch((error: unknown) => {
      // Only a quicker heartbeat is lost; the stream tells by itself when the server is gone.
      if (!this.#closed.signal.aborted) this.#parts.runtime.logger.debug('flush_nudge_failed', { source: this.#parts.source, error });
    });
  }

  async completeRows(rows: readonly IncompleteRow[], signal: AbortSignal): Promise<(Uint8Array | 'gone')[]> {
    return this.#parts.reading.completer.completeRows(rows, signal);
  }

  async head(signal: AbortSignal): Promise<SourceHead> {
    const { query, slot, server, timeline } = this.#parts;
    return readHead({ query, slot, geometry: server.geometry, timeline, keptLog: this.#keptLog }, signal);
  }

  /** DDL changes rows, of which the stream says nothing. */
  async lookAround(signal: AbortSignal): Promise<void> {
    await this.#parts.watch.settled(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    await this.#parts.opened.disposeAsync();
  }

  #positionAt(lsn: bigint): Uint8Array {
    return encodePosition(lsn, this.#parts.timeline, this.#keptLog.from);
  }

  /** A position that was pushed later is durable only when everything before it is. */
  async #settled(run: StreamRun, signal: AbortSignal): Promise<void> {
    const { query, runtime } = this.#parts;
    const { clock } = runtime;
    const { pushedLsn } = run;
    const giveUpMs = clock.monotonicMs() + SETTLE_WITHIN_MS;
    // An empty transaction, so that there is a later position even on a server where nothing happens.
    await query('SELECT pg_catalog.pg_current_xact_id()', [], signal);
    await askUntil(() => run.confirmedLsn > pushedLsn || clock.monotonicMs() >= giveUpMs, () => run.nudge(), clock, signal);
  }

  #streamDeps(sink: ChangeSink, signal: AbortSignal): ConstructorParameters<typeof StreamRun>[0] {
    const { source, connection, runtime, catalog, visibility, history, config, slot, publication, query, watch } = this.#parts;
    return {
      source,
      connection,
      sink,
      catalog,
      visibility,
      positionAt: (lsn) => this.#positionAt(lsn),
      clock: runtime.clock,
      startLsn: history.startLsn,
      command: startReplicationCommand(slot, publication, history.startLsn),
      limits: rowLimits(config.max_value_bytes),
      walSenderTimeoutMs: config.wal_sender_timeout_ms,
      refreshCatalog: async () => watch.refresh(signal),
      hasParent: async (oid) => (await query('SELECT 1 AS one FROM pg_catalog.pg_inherits WHERE inhrelid = $1::pg_catalog.int8::pg_catalog.oid', [oid], signal)).length > 0,
      onAccepted: async () => checkSlotUnmoved({ query, slot, source }, history.startLsn, signal),
      onMoved: () => this.#flush.moved(),
      onPushed: (lsn) => watch.passed(lsn),
    };
  }
}
