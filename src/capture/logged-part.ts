/**
 * The transactions that the log holds in part, when their source is connected again: each is pushed again from its first change, and what
 * is logged of it is left out. When the source turns out not to have one of them any more, its history is another one.
 */
import type { TransactionStart } from '../connector/source.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import { partialTransaction, type PartialTransaction, type ResumePoint } from './resume-point.ts';

export interface LoggedPartsDeps {
  readonly source: string;
  /** Tables that are read: a transaction that has changes in none of them is not pushed. */
  readonly tables: ReadonlySet<string>;
  readonly compare: (a: Uint8Array, b: Uint8Array) => number;
}

export class LoggedParts {
  readonly #deps: LoggedPartsDeps;
  /** Those that the source has yet to push, in the order of their positions. */
  #awaited: readonly PartialTransaction[];

  constructor(deps: LoggedPartsDeps, { partial, laterPartials }: ResumePoint) {
    this.#deps = deps;
    this.#awaited = partial === null ? [] : [partial, ...laterPartials];
  }

  get awaited(): readonly PartialTransaction[] {
    return this.#awaited;
  }

  /** The part of a transaction that is logged, or null. Throws SRC_DIVERGED when another one comes where one of them should. */
  take(start: TransactionStart): PartialTransaction | null {
    if (this.#awaited.length === 0) return null;
    this.passed(start.position);
    const [next] = this.#awaited;
    if (next === undefined || this.#deps.compare(next.position, start.position) !== 0) return null;
    this.#awaited = this.#awaited.slice(1);
    if (next.id !== start.id) throw this.#diverged(next);
    return next;
  }

  /** Everything before `position` has been pushed. */
  passed(position: Uint8Array): void {
    const { compare, tables } = this.#deps;
    for (let next = this.#awaited[0]; next !== undefined && compare(next.position, position) < 0; next = this.#awaited[0]) {
      if ([...next.byTable.keys()].some((table) => tables.has(table))) throw this.#diverged(next);
      this.#awaited = this.#awaited.slice(1);
    }
  }

  #diverged({ id }: PartialTransaction): TailraceError {
    const { source } = this.#deps;
    return new TailraceError('SRC_DIVERGED', { message: `Source ${source} does not have the transaction ${id} any more, of which a part is in the change log.`, entity: source });
  }
}

interface TableCount {
  readonly table: string;
  readonly logged: number;
  pushed: number;
}

/** Counts the changes of one transaction by table, and tells those that the log has. */
export class ChangeCount {
  readonly #counts: TableCount[];
  #last: TableCount | null = null;

  constructor(part: PartialTransaction | null) {
    this.#counts = part === null ? [] : [...part.byTable].map(([table, logged]) => ({ table, logged, pushed: 0 }));
  }

  /** Counts a change; true when the log has it already. */
  isLogged(table: string): boolean {
    const count = this.#last?.table === table ? this.#last : this.#countOf(table);
    this.#last = count;
    count.pushed += 1;
    return count.pushed <= count.logged;
  }

  /** The transaction as far as it is logged when everything that was counted is. */
  soFar({ position, id }: TransactionStart): PartialTransaction {
    return partialTransaction(position, id, new Map(this.#counts.map(({ table, logged, pushed }) => [table, Math.max(logged, pushed)])));
  }

  #countOf(table: string): TableCount {
    const known = this.#counts.find((count) => count.table === table);
    if (known !== undefined) return known;
    const count: TableCount = { table, logged: 0, pushed: 0 };
    this.#counts.push(count);
    return count;
  }
}
