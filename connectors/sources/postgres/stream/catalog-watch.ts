/**
 * Notices DDL, of which the stream tells nothing until a row follows it, and nothing at all of most of what it does to rows: the catalog is
 * looked at from time to time, and whenever the stream describes a table anew.
 */
import { dispositionOf } from '../../../../src/errors/policy.ts';
import { codeOf, type TailraceError } from '../../../../src/errors/tailrace-error.ts';
import type { Clock } from '../../../../src/runtime/clock.ts';
import type { Logger } from '../../../../src/runtime/logger.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { TableChange } from '../catalog/table-changes.ts';
import type { Query } from '../connection/query.ts';

const LOOK_EVERY_MS = 30_000;

export interface CatalogWatchDeps {
  readonly catalog: Catalog;
  readonly query: Query;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Pause between looks; by default half a minute. */
  readonly lookEveryMs?: number | undefined;
}

/** Who is told what changed: the stream, while there is one. */
export interface CatalogListener {
  /** The catalog's tables or their parts are others now. */
  catalogChanged(): void;
  reread(table: string, reason: string, sweep: boolean): void;
  /** Resolves when what was told so far is durable, or cannot be made so in a few seconds. */
  settled(): Promise<void>;
}

export class CatalogWatch {
  readonly #deps: CatalogWatchDeps;
  #listener: CatalogListener | null = null;
  /** Changes that were noticed while nobody listened. */
  #untold: TableChange[] = [];
  #last: Promise<void> = Promise.resolve();

  constructor(deps: CatalogWatchDeps) {
    this.#deps = deps;
  }

  /** From here on the listener is told, at once of what was noticed before. */
  listen(listener: CatalogListener): void {
    this.#listener = listener;
    this.#tell(this.#untold.splice(0));
  }

  /** Looks until the signal is aborted, then rejects with its reason; earlier with what the catalog cannot be read or used for. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger, lookEveryMs } = this.#deps;
    for (;;) {
      await clock.sleep(lookEveryMs ?? LOOK_EVERY_MS, signal);
      try {
        await this.refresh(signal);
      } catch (error) {
        // The stream's own connection tells whether the server is gone; a look that failed is made up for by the next.
        if (signal.aborted || dispositionOf(error) !== 'backoff') throw error;
        logger.warn('catalog_unreadable', { error });
      }
    }
  }

  /** Brings the catalog up to date, and tells which tables are to be read again. One at a time. */
  async refresh(signal: AbortSignal): Promise<void> {
    const refreshed = this.#last.then(async () => this.#refresh(signal));
    // The next look does not depend on how this one ended.
    this.#last = refreshed.catch(() => {});
    await refreshed;
  }

  async #refresh(signal: AbortSignal): Promise<void> {
    const { catalog, query, logger } = this.#deps;
    if ((await catalog.fingerprint(query, signal)) === catalog.loadedFingerprint) return;
    const changes = await this.#changes(signal);
    for (const { table, reason, reread } of changes) logger.info('table_changed', { table, reason, reread });
    this.#tell(changes);
  }

  /**
   * A table that is not sent any more misses changes from now on, and nothing in the stream will tell of them. So before that stops the
   * source, the table is noted to be read again as soon as it can be.
   */
  async #changes(signal: AbortSignal): Promise<TableChange[]> {
    const { catalog, query } = this.#deps;
    try {
      return await catalog.refresh(query, signal);
    } catch (error) {
      const listener = this.#listener;
      const code = codeOf(error);
      if (listener !== null && (code === 'SRC_PUBLICATION' || code === 'SRC_TABLE_MISSING')) {
        const { entity } = error as TailraceError;
        for (const { table } of catalog.tables) if (table === entity) listener.reread(table, `changes of ${table} were not sent for a while`, true);
        await listener.settled();
      }
      throw error;
    }
  }

  #tell(changes: readonly TableChange[]): void {
    const listener = this.#listener;
    if (listener === null) {
      this.#untold.push(...changes);
      return;
    }
    listener.catalogChanged();
    for (const change of changes) if (change.reread) listener.reread(change.table, change.reason, change.sweep);
  }
}
