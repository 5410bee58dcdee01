/** The parked documents of one generation: made when a change makes no document or its target refuses it, closed when a later one takes its place. */
import { seqOf, versionOf, type Seq } from '../change/seq.ts';
import type { Operation, TargetGeneration } from '../connector/target.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { StateStore } from '../state/state-store.ts';
import type { RefusedOperation } from './delivery.ts';

/** Documents of parked ids that a target is asked for in one go. */
const FETCHED_AT_ONCE = 1_000;

interface DeadLettersDeps {
  readonly index: string;
  readonly generation: number;
  readonly state: StateStore;
  readonly runtime: Runtime;
  readonly settings: {
    readonly onError: 'dead_letter' | 'stop';
    /** Parked documents at which the index stops. */
    readonly deadLettersMax: number;
  };
}

export class DeadLetters {
  readonly #deps: DeadLettersDeps;
  /** Ids of parked documents, each with the seq of its letter: what the state store has, too. */
  readonly #parked = new Map<string, Seq>();

  constructor(deps: DeadLettersDeps) {
    this.#deps = deps;
  }

  /** Reads what is parked: by earlier runs, and less what somebody has dropped since. */
  load(): void {
    const { state, index, generation } = this.#deps;
    this.#parked.clear();
    for (const letter of state.deadLetters(index)) if (letter.generation === generation) this.#parked.set(letter.id, letter.seq);
  }

  /** Parks documents; throws when the index is to stop for them. What it did is durable when it returns. */
  park(refused: readonly RefusedOperation[]): void {
    const [first] = refused;
    if (first === undefined) return;
    const { state, index, generation, runtime, settings } = this.#deps;
    if (settings.onError === 'stop') {
      throw new TailraceError(first.code, { message: first.reason, entity: index, did: 'The index stopped before this document, as `on_error: stop` says.' });
    }
    const parkedAtMs = runtime.clock.nowMs();
    state.park(refused.map(({ id, seq, code, reason }) => ({ index, generation, id, seq, code, reason, parkedAtMs })));
    for (const { id, seq } of refused) this.#parked.set(id, Math.max(seq, this.#parked.get(id) ?? 0));
    runtime.logger.warn('documents_parked', { index, count: refused.length, seq: first.seq, error: new TailraceError(first.code, { message: first.reason, entity: index }) });
    // Letters may have been dropped by hand: nobody else is told of that.
    if (this.#parked.size > settings.deadLettersMax) this.load();
    if (this.#parked.size > settings.deadLettersMax) {
      throw new TailraceError('TGT_TOO_MANY_DEAD_LETTERS', { message: `Index ${index} has ${this.#parked.size} parked documents, more than the ${settings.deadLettersMax} allowed.`, entity: index });
    }
  }

  /** Closes the letters of documents of which a later version goes to the index, or goes out of it. Letters of the same change and of later ones stay. */
  closeFor(operations: readonly Operation[], clearedAt: Seq | null): void {
    if (this.#parked.size === 0) return;
    this.#close(operations.filter(({ id, version }) => (this.#parked.get(id) ?? Infinity) < seqOf(version)).map(({ id }) => id));
    if (clearedAt !== null) this.closeBelow(clearedAt);
  }

  /** Closes the letters of changes that the target has taken after all. Until it has, nobody else may find them closed: its cursor may be past them already. */
  closeTaken(operations: readonly Operation[]): void {
    if (this.#parked.size === 0) return;
    this.#close(operations.filter(({ id, version }) => this.#parked.get(id) === seqOf(version)).map(({ id }) => id));
  }

  /** Closes the letters of changes that the target has, and that a run which ended between its answer and now has not closed. */
  async closeHeld(target: Pick<TargetGeneration, 'fetch'>, epoch: number, signal: AbortSignal): Promise<void> {
    const ids = [...this.#parked.keys()];
    for (let from = 0; from < ids.length; from += FETCHED_AT_ONCE) {
      const held = await target.fetch(ids.slice(from, from + FETCHED_AT_ONCE), signal);
      this.#close(held.flatMap((one) => (one !== null && one.version >= versionOf(epoch, this.#parked.get(one.id) as Seq) ? [one.id] : [])));
    }
  }

  /** Closes the letters of changes before `seq`: everything older than that is gone. */
  closeBelow(seq: Seq): void {
    this.#close([...this.#parked].flatMap(([id, parkedSeq]) => (parkedSeq < seq ? [id] : [])));
  }

  #close(ids: readonly string[]): void {
    if (ids.length === 0) return;
    const { state, index, generation } = this.#deps;
    // One by one: there may be more of them than a call has room for as arguments.
    const newest = ids.reduce((most, id) => Math.max(most, this.#parked.get(id) ?? 0), 0);
    state.unpark(index, generation, ids, newest);
    for (const id of ids) this.#parked.delete(id);
  }
}
