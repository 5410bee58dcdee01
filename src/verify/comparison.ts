/**
 * Compares a generation with its table while both go on: by sums of hashes first, where all of it is wanted at once, and what these do not show to be
 * equal row by row: forward over the rows of the source, each at a position of the log that the target has passed, and then over the ids of the
 * target for documents that no row makes. What differs is judged by `Look`.
 */
import type { RowsAt } from '../capture/rows-at.ts';
import { seqOf, versionOf, type Seq } from '../change/seq.ts';
import type { DocumentBuilder } from '../document/builder.ts';
import { together } from '../runtime/abort.ts';
import { sumUp } from './both-sides.ts';
import type { BucketSums } from './bucket-sums.ts';
import { Differences } from './difference.ts';
import { ExpectedRows, type ExpectedRow } from './expected-rows.ts';
import { keyText, newestWithin } from './log-window.ts';
import { Look, LOOK_AT_ONCE, tellingOf, type Telling } from './look.ts';
import type { Pace } from './pace.ts';
import type { VerifyOutcome, VerifyProgress } from './progress.ts';
import { SeenIds } from './seen-ids.ts';
import { estimatedRows, type VerifySubject } from './subject.ts';
import { Patience } from './patience.ts';

/** Rows that are built in one go, and whose documents are fetched together. */
const SLICE_ROWS = 1_000;

/** Slices whose documents are on their way. */
const SLICES_IN_FLIGHT = 4;

/** Ids that may be too much, before they are looked at: the scan that finds them holds the target up, and is ended for it. */
const EXTRAS_AT_ONCE = 100_000;

/** How far back the log is read for the changes that stale documents have missed. */
const STALE_CHANGES_MAX = 5_000_000;

export interface ComparisonOptions {
  /** Share of all ids that is compared, 0 to 1. */
  readonly share: number;
  readonly pace: Pace;
  /** Both sides are read as fast as they can be, and once more in part when they are not the same. */
  readonly isSummedUp: boolean;
  readonly progress: VerifyProgress;
  /** Room for ids; see `SeenIds`. */
  readonly slotsMax?: number | undefined;
}

/** A chunk, where the target was when it was read, and what was known of the table before. */
interface ReadRows {
  readonly rows: RowsAt;
  readonly cursor: Seq;
  readonly telling: Telling;
}

export class Comparison {
  readonly #subject: VerifySubject;
  readonly #options: ComparisonOptions;
  readonly #documents: DocumentBuilder;
  readonly #rows: ExpectedRows;
  readonly #look: Look;
  readonly #patience: Patience;
  readonly #differences = new Differences();
  readonly #salt: number;
  readonly #seen: SeenIds;
  #sums: BucketSums | null = null;
  /** To be asked for by key. */
  #pool: string[] = [];
  #unsettled = 0;
  #parked = 0;

  constructor(subject: VerifySubject, documents: DocumentBuilder, options: ComparisonOptions) {
    const { share, slotsMax, progress } = options;
    this.#subject = subject;
    this.#options = options;
    this.#documents = documents;
    this.#rows = new ExpectedRows(subject.definition.from.source, documents);
    this.#look = new Look({ subject, documents });
    this.#patience = new Patience(subject.runtime, progress);
    this.#salt = Number.parseInt(subject.runtime.random.hex(4), 16);
    this.#seen = new SeenIds({ salt: this.#salt, share, ...(slotsMax === undefined ? {} : { slotsMax }) });
  }

  /** Rejects with the signal's reason, and with what waiting does not mend. */
  async run(signal: AbortSignal): Promise<VerifyOutcome> {
    const { progress, share, isSummedUp } = this.#options;
    const { log } = this.#subject;
    const fromSeq = log.durableSeq;
    const both = isSummedUp ? await this.#patience.with(async () => sumUp(this.#subject, this.#rows, this.#salt, progress, signal), signal) : null;
    this.#sums = both?.sums ?? null;
    if (this.#sums?.areEqual !== true) {
      do {
        const since = await this.#forward(signal);
        await this.#lookAtPool(since, signal);
        await this.#extras(since, signal);
      } while (this.#seen.nextPart());
      await this.#findStale(signal);
    }
    const { kept: found, count: differences, counts: kinds } = this.#differences;
    // Those that rows make, whichever side they were counted on.
    const documents = progress.documents + (both?.isKeyless === true ? (kinds.missing ?? 0) - (kinds.extra ?? 0) : 0);
    return { fromSeq, toSeq: log.durableSeq, rows: progress.rows, documents, share, differences, kinds, found, parked: this.#parked, unsettled: this.#unsettled };
  }

  /** Returns the seq since which every row that is there has been seen. */
  async #forward(signal: AbortSignal): Promise<Seq> {
    return this.#patience.with(async () => {
      const { subject, progress } = { subject: this.#subject, progress: this.#options.progress };
      const { table } = subject.definition.from;
      const connection = await subject.connection(signal);
      const since = subject.log.durableSeq;
      const telling = tellingOf(connection, table);
      this.#seen.clear();
      progress.phase = 'comparing';
      progress.rows = 0;
      if (this.#seen.isFirstPart) {
        // Begun again, it counts again.
        this.#parked = 0;
        if (this.#sums === null) progress.documents = 0;
      }
      progress.estimatedRows = estimatedRows(subject, connection) ?? progress.estimatedRows;
      const slices = new Slices();
      await together(signal, [
        async (either) => {
          try {
            for await (const rows of connection.readAt({ table, selection: { kind: 'all' } }, either)) {
              await this.#chunk(rows, slices, telling, either);
              if (this.#pool.length >= LOOK_AT_ONCE) await this.#lookAtPool(since, either);
            }
          } finally {
            slices.end();
          }
        },
        async (either) => slices.settled(either),
      ]);
      return since;
    }, signal);
  }

  async #chunk(rows: RowsAt, slices: Slices, telling: Telling, signal: AbortSignal): Promise<void> {
    const { pace, progress } = this.#options;
    const { chunk, seq } = rows;
    const isFirst = this.#seen.isFirstPart;
    const { cursor } = isFirst ? await this.#patience.with(async () => this.#subject.applied(seq, signal), signal) : { cursor: 0 };
    const count = chunk.offsets.length - 1;
    const expected = this.#rows.of(chunk, (id) => this.#isWanted(id));
    for (let done = 0; done < count; done += SLICE_ROWS) await pace.take(Math.min(SLICE_ROWS, count - done), signal);
    for (;;) {
      await slices.room(SLICES_IN_FLIGHT, signal);
      const slice = some(expected, SLICE_ROWS);
      let documents = 0;
      for (const one of slice) documents += this.#note(one, isFirst);
      const made = slice.filter(({ expected: { kind } }) => kind === 'document');
      if (isFirst && made.length > 0) slices.add(async () => this.#compare(made, documents, { rows, cursor, telling }, signal));
      if (slice.length < SLICE_ROWS) break;
    }
    progress.rows += count;
  }

  #isWanted(id: string): boolean {
    return this.#sums?.isEqual(id) !== true && this.#seen.isWanted(id);
  }

  /** Returns how many documents it makes that no row before it has made: rows of a table without a key may be the same. */
  #note({ id, expected }: ExpectedRow, isFirst: boolean): 0 | 1 {
    if (expected.kind === 'document') return this.#seen.add(id) ? 1 : 0;
    if (expected.kind === 'failed' && isFirst) this.#countParked(1);
    return 0;
  }

  async #compare(made: readonly ExpectedRow[], documents: number, { rows, cursor, telling }: ReadRows, signal: AbortSignal): Promise<void> {
    const { startSeq, log } = this.#subject;
    const { seq } = rows;
    const [above, upTo] = [versionOf(log.epoch, startSeq), versionOf(log.epoch, seq)];
    await this.#patience.with(async () => {
      const fetched = await this.#look.fetch(made.map(({ id }) => id), signal);
      const unclear = made.flatMap((row, i) => {
        const stored = fetched.stored[i] ?? null;
        const isRight = stored !== null && row.expected.kind === 'document' && stored.document === row.expected.json && stored.version <= upTo && stored.version > above;
        return isRight ? [] : [i];
      });
      if (unclear.length > 0) {
        const stored = unclear.map((i) => fetched.stored[i] ?? null);
        this.#take(await this.#look.judgeChunk(unclear.map((i) => made[i] as ExpectedRow), rows, cursor, { ...fetched, stored }, telling, signal), false);
      }
      if (this.#sums === null) this.#options.progress.documents += documents;
    }, signal);
  }

  async #lookAtPool(since: Seq, signal: AbortSignal): Promise<void> {
    while (this.#pool.length > 0) {
      const ids = this.#pool.slice(0, LOOK_AT_ONCE);
      const looked = await this.#patience.with(async () => this.#look.at(ids, since, signal), signal);
      this.#pool = this.#pool.slice(ids.length);
      this.#take(looked, true);
    }
  }

  /** Documents that no row makes. What is ended for being long is begun again, without what was looked at. */
  async #extras(since: Seq, signal: AbortSignal): Promise<void> {
    this.#options.progress.phase = 'looking_for_extras';
    for (let isWhole = false; !isWhole; ) {
      const { ids, whole } = await this.#patience.with(async () => this.#unseen(signal), signal);
      isWhole = whole;
      this.#pool.push(...ids);
      await this.#lookAtPool(since, signal);
      for (const id of ids) this.#seen.add(id);
    }
  }

  async #unseen(signal: AbortSignal): Promise<{ readonly ids: readonly string[]; readonly whole: boolean }> {
    const unseen: string[] = [];
    const opened = await this.#subject.opened(signal);
    for await (const page of opened.ids(signal)) {
      for (const id of page) if (this.#sums?.isEqual(id) !== true && !this.#seen.has(id)) unseen.push(id);
      if (unseen.length >= EXTRAS_AT_ONCE) return { ids: unseen, whole: false };
    }
    return { ids: unseen, whole: true };
  }

  #take({ differences, parked, unsettled }: Awaited<ReturnType<Look['at']>>, isLast: boolean): void {
    for (const difference of differences) this.#differences.add(difference);
    this.#options.progress.differences = this.#differences.count;
    this.#countParked(parked);
    if (isLast) this.#unsettled += unsettled.length;
    else this.#pool.push(...unsettled);
  }

  #countParked(count: number): void {
    this.#parked += count;
    this.#options.progress.parked = this.#parked;
  }

  /** A document that differs is stale when the log tells of a change that is newer than it is. */
  async #findStale(signal: AbortSignal): Promise<void> {
    const { log, definition, name } = this.#subject;
    const altered = new Map(this.#differences.kept.flatMap(({ kind, key, storedVersion, id }) => (kind === 'altered' && key !== null && storedVersion !== null ? [[id, { key: keyText(key), seq: seqOf(storedVersion) }]] : [])));
    if (altered.size === 0) return;
    const oldest = [...altered.values()].reduce((least, { seq }) => Math.min(least, seq), Infinity);
    const window = { log, source: definition.from.source, table: definition.from.table, name, documents: this.#documents };
    const newest = await newestWithin(window, new Set([...altered.values()].map(({ key }) => key)), Math.max(oldest, log.durableSeq - STALE_CHANGES_MAX), log.durableSeq, signal);
    this.#differences.reclassify(({ id, kind }) => {
      const own = altered.get(id);
      return own !== undefined && (newest.get(own.key) ?? 0) > own.seq ? 'stale' : kind;
    });
  }
}

/** The next ones, at most so many. */
function some<T>(items: Iterator<T>, max: number): T[] {
  const taken: T[] = [];
  while (taken.length < max) {
    const next = items.next();
    if (next.done === true) break;
    taken.push(next.value);
  }
  return taken;
}

/** Work that goes on beside each other, so much at a time. The first failure ends it. */
class Slices {
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | null = null;
  readonly #ended = Promise.withResolvers<void>();

  add(work: () => Promise<void>): void {
    const running = work().catch((error: unknown) => {
      this.#failure ??= { error };
    });
    const counted = running.finally(() => this.#running.delete(counted));
    this.#running.add(counted);
  }

  /** Resolves when fewer than `max` are at work; rejects with the first failure. */
  async room(max: number, signal: AbortSignal): Promise<void> {
    while (this.#running.size >= max) await Promise.race(this.#running);
    signal.throwIfAborted();
    if (this.#failure !== null) throw this.#failure.error;
  }

  /** No more comes. */
  end(): void {
    this.#ended.resolve();
  }

  /** Resolves when all that was added has ended, and no more comes; rejects with the first failure. */
  async settled(signal: AbortSignal): Promise<void> {
    await this.#ended.promise;
    await Promise.all(this.#running);
    if (this.#failure !== null) throw this.#failure.error;
    signal.throwIfAborted();
  }
}
