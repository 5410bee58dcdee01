/** The parked documents of one generation: made when a change makes no document or its target refuses it, closed when a later one takes its place. */
import { seqOf, type Seq } from '../change/seq.ts';
import type { Operation } from '../connector/target.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { StateStore } from '../state/state-store.ts';
import type { RefusedOperation } from './delivery.ts';

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

  /** Closes the letters of documents of which the same version or a later one goes to the index, or goes out of it. Letters of later changes stay. */
  closeFor(operations: readonly Operation[], clearedAt: Seq | null): void {
    if (this.#parked.size === 0) return;
    const ids = operations.filter(({ id, version }) => (this.#parked.get(id) ?? Infinity) <= seqOf(version)).map(({ id }) => id);
    this.#close(ids);
    if (clearedAt !== null) this.closeBelow(clearedAt);
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
