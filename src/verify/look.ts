/**
 * Looks at what is found otherwise than expected, until it is certain: a finding is made only of what the source, the log and the target say
 * together, so that nothing that is on its way is ever taken for damage.
 */
import type { Connection } from '../capture/capture.ts';
import { isFor, isOver, rereads, snapshotsIn } from '../capture/snapshot-state.ts';
import { windowKey } from '../capture/chunk-window.ts';
import { documentIdOf, keyOfDocumentId } from '../change/key.ts';
import type { Seq } from '../change/seq.ts';
import type { RowsAt } from '../capture/rows-at.ts';
import type { StoredDocument } from '../connector/target.ts';
import type { DocumentBuilder } from '../document/builder.ts';
import { codeOf } from '../errors/tailrace-error.ts';
import type { Difference } from './difference.ts';
import { ExpectedRows, type ExpectedRow } from './expected-rows.ts';
import { changesWithin, keyText, type WindowSubject } from './log-window.ts';
import type { VerifySubject } from './subject.ts';
import { verdictOn, type Expected, type KeyChange, type Verdict } from './verdict.ts';

/** Keys that are asked for at one time. */
export const LOOK_AT_ONCE = 1_000;

/** How often a row is looked at that cannot be judged: it changes again and again, and the log is shortened just then. */
const ROUNDS_MAX = 8;

/** Before what is not certain is looked at again. */
const ROUND_PAUSE_MS = 250;

export interface LookDeps {
  readonly subject: VerifySubject;
  readonly documents: DocumentBuilder;
}

/** What came of the documents that were looked at. */
export interface Looked {
  readonly differences: readonly Difference[];
  readonly parked: number;
  /** Ids of which it could not be said. */
  readonly unsettled: readonly string[];
}

/** What a target has, as far as it is known when it has answered. */
export interface Fetched {
  readonly stored: readonly (StoredDocument | null)[];
  /** The log was up to this by then. */
  readonly durableSeq: Seq;
  /** Ids of parked documents; a letter that is closed meanwhile was one. */
  readonly letters: ReadonlySet<string>;
}

/** One document with the side of the source. */
interface Judged {
  readonly id: string;
  readonly key: Uint8Array | null;
  /** Null: not known. */
  readonly base: Expected | null;
  readonly stored: StoredDocument | null;
  readonly isParked: boolean;
}

interface Bounds {
  /** The base holds true as of this. */
  readonly baseSeq: Seq;
  /** Changes behind this are looked for. */
  readonly from: Seq;
  readonly cursor: Seq;
  readonly durableSeq: Seq;
}

/** What was known of a table before its rows were read. */
export interface Telling {
  readonly connection: Connection;
  readonly rereads: number;
}

export function tellingOf(connection: Connection, table: string): Telling {
  return { connection, rereads: connection.rereads(table) };
}

export class Look {
  readonly #deps: LookDeps;
  readonly #rows: ExpectedRows;
  readonly #window: WindowSubject;

  constructor(deps: LookDeps) {
    const { subject, documents } = deps;
    this.#deps = deps;
    this.#rows = new ExpectedRows(subject.definition.from.source, documents);
    this.#window = { log: subject.log, source: subject.definition.from.source, table: subject.definition.from.table, name: subject.name, documents };
  }

  /**
   * Rows of a chunk that differ from what was fetched for them, judged without asking the source again. `unsettled` are those that have to be asked
   * for: they changed while the chunk was read, or may be about to be swept away.
   */
  async judgeChunk(rows: readonly ExpectedRow[], { seq, changed }: Pick<RowsAt, 'seq' | 'changed'>, cursor: Seq, { stored, durableSeq, letters }: Fetched, telling: Telling, signal: AbortSignal): Promise<Looked> {
    const judged = rows.map((row, i) => judgedOf(row, changed, stored[i] ?? null, letters));
    const looked = await this.#judge(judged, { baseSeq: seq, from: seq, cursor, durableSeq }, signal);
    const { differences } = looked;
    const isTold = await this.#isTold(differences, telling, signal);
    if (differences.length === 0) return looked;
    const [isSure, isSwept] = [isTold && !this.#isReadAgain(), this.#mayBeSwept()];
    const { certain = [], open = [] } = Object.groupBy(differences, ({ kind }) => (isSure && (kind !== 'extra' || !isSwept) ? 'certain' : 'open'));
    return { ...looked, differences: certain, unsettled: [...looked.unsettled, ...open.map(({ id }) => id)] };
  }

  /** Documents by id: their rows are read by key as of a seq, and compared with what the target has then. `since`: see `#unaskable`. */
  async at(ids: readonly string[], since: Seq, signal: AbortSignal): Promise<Looked> {
    const differences: Difference[] = [];
    let parked = 0;
    let pending: readonly string[] = [...new Set(ids)];
    /** Found to be too much once. */
    const seenExtra = new Set<string>();
    for (let round = 1; pending.length > 0 && round <= ROUNDS_MAX; round += 1) {
      if (round > 1) await this.#deps.subject.runtime.clock.sleep(ROUND_PAUSE_MS, signal);
      const next: string[] = [];
      for (let from = 0; from < pending.length; from += LOOK_AT_ONCE) {
        const { subject } = this.#deps;
        const telling = tellingOf(await subject.connection(signal), subject.definition.from.table);
        const looked = await this.#once(pending.slice(from, from + LOOK_AT_ONCE), since, signal);
        parked += looked.parked;
        next.push(...looked.unsettled);
        const isTold = await this.#isTold(looked.differences, telling, signal);
        for (const difference of looked.differences) {
          if (isTold && this.#isCertain(difference, seenExtra)) differences.push(difference);
          else next.push(difference.id);
        }
      }
      pending = next;
    }
    return { differences, parked, unsettled: pending };
  }

  /** A row that is another without a change of it is no difference: the source is asked whether there are such, once something differs that was read after `telling`. */
  async #isTold(differences: readonly Difference[], { connection, rereads }: Telling, signal: AbortSignal): Promise<boolean> {
    if (differences.length === 0) return true;
    const { table } = this.#deps.subject.definition.from;
    return (await connection.lookAround(table, signal)) && connection.rereads(table) === rereads;
  }

  /** What the end of a snapshot is about to sweep away is no damage: it is looked at again when that has had its time. */
  #isCertain({ kind, id }: Difference, seenExtra: Set<string>): boolean {
    if (this.#isReadAgain()) return false;
    if (kind !== 'extra' || seenExtra.has(id) || !this.#mayBeSwept()) return true;
    seenExtra.add(id);
    return false;
  }

  /** The stream has said that the table has changed in a way that it does not tell: what differs is on its way. */
  #isReadAgain(): boolean {
    const { log, definition } = this.#deps.subject;
    return snapshotsIn(log.registers).some((snapshot) => !isOver(snapshot) && rereads(snapshot) && snapshot.source === definition.from.source && snapshot.table === definition.from.table);
  }

  #mayBeSwept(): boolean {
    const { log, name, definition } = this.#deps.subject;
    return snapshotsIn(log.registers).some((snapshot) => snapshot.sweep && snapshot.phase === 'done' && snapshot.source === definition.from.source && snapshot.table === definition.from.table && isFor(snapshot, name));
  }

  async #once(ids: readonly string[], since: Seq, signal: AbortSignal): Promise<Looked> {
    const keys = new Map<string, Buffer>();
    for (const id of ids) {
      const key = keyOfDocumentId(id);
      if (key !== null) keys.set(id, key);
    }
    const parts: Looked[] = [await this.#unaskable(ids.filter((id) => !keys.has(id)), [], since, signal)];
    const refused = await this.#asked([...keys.values()], (looked) => parts.push(looked), signal);
    parts.push(await this.#unaskable(refused.map(documentIdOf), refused, since, signal));
    return { differences: parts.flatMap(({ differences }) => differences), unsettled: parts.flatMap(({ unsettled }) => unsettled), parked: parts.reduce((sum, { parked }) => sum + parked, 0) };
  }

  /** Reads rows by these keys; returns those that the source cannot be asked for. */
  async #asked(keys: readonly Uint8Array[], take: (looked: Looked) => void, signal: AbortSignal): Promise<readonly Uint8Array[]> {
    if (keys.length === 0) return [];
    const { subject } = this.#deps;
    const connection = await subject.connection(signal);
    const from = subject.log.durableSeq;
    const left = new Map(keys.map((key) => [keyText(key), key]));
    try {
      for await (const rows of connection.readAt({ table: subject.definition.from.table, selection: { kind: 'keys', keys } }, signal)) {
        const own = [...this.#rows.of(rows.chunk)].filter(({ key }) => left.delete(keyText(key)));
        take(await this.#judgeRead(own, rows, from, signal));
      }
    } catch (error) {
      if (codeOf(error) !== 'SRC_SELECTION') throw error;
      if (keys.length === 1) return keys;
      const middle = keys.length >>> 1;
      return [...(await this.#asked(keys.slice(0, middle), take, signal)), ...(await this.#asked(keys.slice(middle), take, signal))];
    }
    take({ differences: [], parked: 0, unsettled: [...left.values()].map(documentIdOf) });
    return [];
  }

  /**
   * Rows that were read when the log was durable up to `from`, with what the target has of them as soon as it is that far. Of the source there is
   * nothing between `seq` and `from`, should that be later: what other sources log meanwhile may have been removed by retention up to there.
   */
  async #judgeRead(rows: readonly ExpectedRow[], { seq, changed }: Pick<RowsAt, 'seq' | 'changed'>, from: Seq, signal: AbortSignal): Promise<Looked> {
    const { cursor } = await this.#deps.subject.applied(seq, signal);
    const { stored, durableSeq, letters } = await this.fetch(rows.map(({ id }) => id), signal);
    const judged = rows.map((row, i) => judgedOf(row, changed, stored[i] ?? null, letters));
    return this.#judge(judged, { baseSeq: seq, from, cursor, durableSeq }, signal);
  }

  async fetch(ids: readonly string[], signal: AbortSignal): Promise<Fetched> {
    const { subject } = this.#deps;
    const letters = this.#parked();
    const stored = await (await subject.opened(signal)).fetch(ids, signal);
    return { stored, durableSeq: subject.log.durableSeq, letters: letters.union(this.#parked()) };
  }

  #parked(): Set<string> {
    const { state, index, generation } = this.#deps.subject;
    if (state.deadLetterCount(index, generation) === 0) return new Set();
    return new Set(state.deadLetters(index).flatMap((letter) => (letter.generation === generation ? [letter.id] : [])));
  }

  /**
   * Ids that the source cannot be asked for by their keys, if they have any. Every row that was there since `since` has been seen, and these were not:
   * unless the log tells of the row since then, there is none.
   */
  async #unaskable(ids: readonly string[], keys: readonly Uint8Array[], since: Seq, signal: AbortSignal): Promise<Looked> {
    if (ids.length === 0) return { differences: [], parked: 0, unsettled: [] };
    const { subject } = this.#deps;
    const { cursor } = await subject.applied(subject.log.durableSeq, signal);
    const { stored, durableSeq, letters } = await this.fetch(ids, signal);
    const judged = ids.map((id, i): Judged => ({ id, key: keys[i] ?? null, base: { kind: 'none' }, stored: stored[i] ?? null, isParked: letters.has(id) }));
    return this.#judge(judged, { baseSeq: since, from: since, cursor, durableSeq }, signal);
  }

  async #judge(judged: readonly Judged[], { baseSeq, from, cursor, durableSeq }: Bounds, signal: AbortSignal): Promise<Looked> {
    const { startSeq, log } = this.#deps.subject;
    const verdictFor = ({ base, stored, isParked }: Judged, changes: readonly KeyChange[]): Verdict => verdictOn({ epoch: log.epoch, startSeq, base, baseSeq, changes, cursor, durableSeq, stored, isParked });
    let parked = 0;
    // What is as it was when it was read needs no other witness.
    const unclear = judged.filter((one) => {
      const { kind } = one.base === null ? { kind: 'unknown' } : verdictFor(one, []);
      if (kind === 'parked') parked += 1;
      return kind !== 'equal' && kind !== 'parked';
    });
    const differences: Difference[] = [];
    const unsettled: string[] = [];
    if (unclear.length === 0) return { differences, parked, unsettled };
    const keys = new Set(unclear.flatMap(({ key }) => (key === null ? [] : [keyText(key)])));
    const changes = await changesWithin(this.#window, keys, from, durableSeq, signal);
    for (const one of unclear) {
      const { key } = one;
      // Of an id that no row can have there are no changes, however far the log goes back.
      const verdict: Verdict = key === null ? verdictFor(one, []) : changes === null ? { kind: 'unknown' } : verdictFor(one, changes.get(keyText(key)) ?? []);
      if (verdict.kind === 'unknown') unsettled.push(one.id);
      else if (verdict.kind === 'parked') parked += 1;
      else if (verdict.kind === 'different') differences.push({ kind: verdict.how, id: one.id, key: one.key, field: verdict.field, storedVersion: one.stored?.version ?? null, seq: durableSeq });
    }
    return { differences, parked, unsettled };
  }
}

/** Of a row that changed while it was read it is not known what it was at the seq. */
function judgedOf({ id, key, expected }: ExpectedRow, changed: ReadonlySet<string>, stored: StoredDocument | null, letters: ReadonlySet<string>): Judged {
  return { id, key: Buffer.from(key), base: changed.has(windowKey(key)) ? null : expected, stored, isParked: letters.has(id) };
}
