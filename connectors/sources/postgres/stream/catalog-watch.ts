/**
 * Notices DDL, of which the stream tells nothing until a row follows it, and nothing at all of most of what it does to rows: the catalog is
 * looked at from time to time, and whenever the stream describes a table anew.
 *
 * The catalog is ahead of the stream. What it says is acted on when the stream has passed the place where the server's log ended just after
 * the look: by then everything from before the DDL has been pushed, so that reading again replaces it, and sweeping finds it. Only then is
 * the look remembered; until then, and through any crash, the next comparison starts from the one before.
 */
import { dispositionOf } from '../../../../src/errors/policy.ts';
import { codeOf, type TailraceError } from '../../../../src/errors/tailrace-error.ts';
import { Notifier, together } from '../../../../src/runtime/abort.ts';
import type { Clock } from '../../../../src/runtime/clock.ts';
import type { Logger } from '../../../../src/runtime/logger.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { encodeKnown, type KnownTables } from '../catalog/known-tables.ts';
import type { TableChange } from '../catalog/table-changes.ts';
import type { Query } from '../connection/query.ts';
import { openTransactions } from '../slot/slot.ts';
import { askUntil } from './asking.ts';

const LOOK_EVERY_MS = 30_000;

interface CatalogWatchDeps {
  readonly catalog: Catalog;
  readonly query: Query;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Where the server's log ends now, as a place that the stream comes to. */
  readonly endOfLog: (signal: AbortSignal) => Promise<bigint>;
  /** Pause between looks; by default half a minute. */
  readonly lookEveryMs?: number | undefined;
}

/** Who is told what changed: the stream, while there is one. */
interface CatalogListener {
  /** The catalog's tables or their parts are others now. */
  catalogChanged(): void;
  reread(table: string, reason: string, sweep: boolean): void;
  remember(state: Uint8Array): void;
  /** Everything before this has been pushed. */
  readonly pushedLsn: bigint;
  /** Asks the stream where it is. */
  nudge(): void;
  /** Resolves when what was told so far is durable, or cannot be made so in a few seconds. */
  settled(): Promise<void>;
}

/** A look at the catalog that found it changed. */
interface Look {
  readonly changes: readonly TableChange[];
  readonly known: KnownTables;
  /** What the stream must have passed; null while transactions are waited for. */
  endLsn: bigint | null;
  /** Transactions that may still go on by the old terms; null while they have not been asked for. */
  lingering: ReadonlySet<number> | null;
}

export class CatalogWatch {
  readonly #deps: CatalogWatchDeps;
  #listener: CatalogListener | null = null;
  /** Looks that are not acted on yet, in their order. */
  readonly #looks: Look[] = [];
  readonly #looked = new Notifier();
  readonly #acted = new Notifier();
  /** What the listener was told last, or the log had from before. */
  #remembered: { readonly known: KnownTables; readonly state: Uint8Array } | null;
  #last: Promise<void> = Promise.resolve();

  /** `remembered`: what an earlier session gave to `remember`. */
  constructor(deps: CatalogWatchDeps, remembered: KnownTables | null) {
    this.#deps = deps;
    this.#remembered = remembered === null ? null : { known: remembered, state: encodeKnown(remembered) };
  }

  /** What the catalog was opened with differs from what was remembered by these changes. To be called before anything else. */
  async opened(changes: readonly TableChange[], signal: AbortSignal): Promise<void> {
    await this.#note(changes, signal);
  }

  /** From here on the listener is told. */
  listen(listener: CatalogListener): void {
    this.#listener = listener;
    listener.catalogChanged();
    this.passed(listener.pushedLsn);
  }

  /** Looks, and acts on what was seen, until the signal is aborted; rejects with its reason, or earlier with what the catalog cannot be read or used for. */
  async run(signal: AbortSignal): Promise<void> {
    await together(signal, [async (s) => this.#lookAgain(s), async (s) => this.#bringAbout(s)]);
  }

  /** Brings the catalog up to date. One at a time. */
  async refresh(signal: AbortSignal): Promise<void> {
    const refreshed = this.#last.then(async () => this.#refresh(signal));
    // The next look does not depend on how this one ended.
    this.#last = refreshed.catch(() => {});
    await refreshed;
  }

  /** Looks, and resolves when everything that was found by then was acted upon. */
  async settled(signal: AbortSignal): Promise<void> {
    await this.refresh(signal);
    while (this.#looks.length > 0) await this.#acted.wait(signal);
  }

  /** The stream has pushed everything before `lsn`: the rereads that waited for that are asked for, from within this call. */
  passed(lsn: bigint): void {
    const listener = this.#listener;
    if (listener === null) return;
    for (let look = this.#looks[0]; look !== undefined && isDue(look, lsn); look = this.#looks[0]) {
      this.#looks.shift();
      for (const { table, reason, reread, sweep } of look.changes) if (reread) listener.reread(table, reason, sweep);
      this.#remember(listener, look.known);
      this.#acted.notify();
    }
  }

  async #lookAgain(signal: AbortSignal): Promise<void> {
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

  /** Sees to it that the stream comes to where looks can be acted on. */
  async #bringAbout(signal: AbortSignal): Promise<void> {
    for (;;) {
      const [look] = this.#looks;
      if (look === undefined) await this.#looked.wait(signal);
      else await askUntil(() => this.#looks[0] !== look, async () => this.#askFor(look, signal), this.#deps.clock, signal);
    }
  }

  async #askFor(look: Look, signal: AbortSignal): Promise<void> {
    try {
      if (look.endLsn === null) await this.#findEnd(look, signal);
    } catch (error) {
      if (signal.aborted || dispositionOf(error) !== 'backoff') throw error;
      this.#deps.logger.warn('catalog_unreadable', { error });
    }
    if (look.endLsn !== null) this.#listener?.nudge();
  }

  async #findEnd(look: Look, signal: AbortSignal): Promise<void> {
    const { query, endOfLog } = this.#deps;
    if (look.changes.some(({ lingers }) => lingers)) {
      const open = (await openTransactions(query, signal)).filter(({ here, xid }) => here && look.lingering?.has(xid) !== false);
      look.lingering = new Set(open.map(({ xid }) => xid));
      if (open.length > 0) return;
    }
    look.endLsn = await endOfLog(signal);
    // The stream may have come there by now, and then has nothing more to tell.
    if (this.#listener !== null) this.passed(this.#listener.pushedLsn);
  }

  async #refresh(signal: AbortSignal): Promise<void> {
    const { catalog, query, logger } = this.#deps;
    if ((await catalog.fingerprint(query, signal)) === catalog.loadedFingerprint) return;
    const changes = await this.#changes(signal);
    for (const { table, reason, reread } of changes) logger.info('table_changed', { table, reason, reread });
    this.#listener?.catalogChanged();
    await this.#note(changes, signal);
  }

  async #note(changes: readonly TableChange[], signal: AbortSignal): Promise<void> {
    const look: Look = { changes, known: this.#deps.catalog.known, endLsn: null, lingering: null };
    // Before anything is waited for, and may fail: the catalog has taken the change for known.
    this.#looks.push(look);
    this.#looked.notify();
    await this.#findEnd(look, signal);
  }

  /**
   * A table that is not sent any more misses changes from now on, and nothing in the stream will tell of them. So before that stops the
   * source, it is remembered that the table must be read again when it can be.
   */
  async #changes(signal: AbortSignal): Promise<TableChange[]> {
    const { catalog, query } = this.#deps;
    try {
      return await catalog.refresh(query, signal);
    } catch (error) {
      const code = codeOf(error);
      if (code === 'SRC_PUBLICATION' || code === 'SRC_TABLE_MISSING') await this.#missed((error as TailraceError).entity);
      throw error;
    }
  }

  async #missed(table: string | undefined): Promise<void> {
    const listener = this.#listener;
    const remembered = this.#remembered?.known;
    const known = table === undefined ? undefined : remembered?.get(table);
    if (listener === null || remembered === undefined || table === undefined || known === undefined) return;
    this.#remember(listener, new Map([...remembered, [table, { ...known, missed: true }]]));
    await listener.settled();
  }

  #remember(listener: CatalogListener, known: KnownTables): void {
    const state = encodeKnown(known);
    const isNew = this.#remembered === null || Buffer.compare(state, this.#remembered.state) !== 0;
    this.#remembered = { known, state };
    if (isNew) listener.remember(state);
  }
}

/** Looks that found nothing to read again wait for nothing. */
function isDue(look: Look, pushedLsn: bigint): boolean {
  return look.changes.every(({ reread }) => !reread) || (look.endLsn !== null && look.endLsn <= pushedLsn);
}
