/**
 * G1: the log is exactly the configured part of the source's history, from the start position on: no gap, no other order, no duplicate.
 * Rows of snapshots are what the source had at the very position up to which the log had its stream: so a later seq is always a later truth (G7).
 */
import { decodeResumePoint, identityRegister, positionRegister } from '../../../src/capture/resume-point.ts';
import { EntryFlag } from '../../../src/change/entry.ts';
import { Op } from '../../../src/change/operation.ts';
import { FrameKind, type FrameTransaction } from '../../../src/connector/log-store.ts';
import { applyChange, isLogged, keyText, type HistoryChange, type HistoryTransaction, type TableState } from '../source/history.ts';
import { decodePosition } from '../source/sim-position.ts';
import type { Cell, SimColumn } from '../source/sim-row.ts';
import type { SimServer } from '../source/sim-server.ts';
import type { Coverage } from './coverage.ts';
import type { Findings } from './findings.ts';
import type { LoggedEntry, ObservedFrame } from './log-book.ts';
import { RowHistory } from './row-history.ts';

/** Where the log is in the history of one source. */
export class LogPrefixAuditor {
  readonly #server: SimServer;
  readonly #findings: Findings;
  readonly #coverage: Coverage;
  readonly #tables: () => ReadonlySet<string>;
  /** The transaction that is next or logged in part, and how many of its changes are logged. */
  #next = 0;
  #logged = 0;
  /** The same by table: one that is configured in the middle of it brings its changes behind those of the others. */
  readonly #loggedOf = new Map<string, number>();
  /** Up to here the history is part of `#states`. */
  #position = -1;
  #applied = 0;
  readonly #states = new Map<string, TableState>();
  /** A completed column may show a later value of the row, never an earlier one. */
  readonly #rows: RowHistory;

  /** `tables`: those that are configured now. */
  constructor(server: SimServer, tables: () => ReadonlySet<string>, findings: Findings, coverage: Coverage) {
    this.#server = server;
    this.#rows = new RowHistory(server.database);
    this.#tables = tables;
    this.#findings = findings;
    this.#coverage = coverage;
  }

  /** The place up to which the log holds the history, as its register says; -1 before the first. */
  get position(): number {
    return this.#position;
  }

  /** True when a transaction is logged in part. */
  get isWithinTransaction(): boolean {
    return this.#logged > 0;
  }

  /** How old the oldest transaction is that is not in the log and changes the table; null when there is none. */
  oldestMissingMs(table: string, nowMs: number): number | null {
    const { history } = this.#server.database;
    for (let at = this.#next; at < history.length; at += 1) {
      const { changes, commitTimeMs } = history[at] as HistoryTransaction;
      if (changes.some((change) => change.table === table)) return nowMs - commitTimeMs;
    }
    return null;
  }

  observe(frame: ObservedFrame): void {
    if (frame.kind === FrameKind.stream) this.#checkStream(frame);
    this.#followRegisters(frame);
    if (frame.kind === FrameKind.snapshot) for (const entry of frame.entries) this.#checkRead(entry);
  }

  #checkStream(frame: ObservedFrame): void {
    const { transactions, entries } = frame;
    const first = transactions[0]?.firstEntry ?? entries.length;
    this.#expect(first === 0, () => `the frame at seq ${frame.firstSeq} begins with changes of no transaction`);
    for (const [i, transaction] of transactions.entries()) {
      const until = transactions[i + 1]?.firstEntry ?? entries.length;
      this.#checkTransaction(transaction, entries.slice(transaction.firstEntry, until), frame);
      if (this.#findings.any) return;
    }
    if (transactions.length > 1) this.#coverage.saw('several transactions in one frame');
  }

  #checkTransaction(transaction: FrameTransaction, entries: readonly LoggedEntry[], frame: ObservedFrame): void {
    this.#skipWhatIsNotLogged(Infinity);
    const truth = this.#server.database.history[this.#next];
    const at = `transaction ${transaction.id} in the frame at seq ${frame.firstSeq}`;
    if (truth === undefined) return this.#expect(false, () => `${at} is not in the source's history`);
    const position = this.#server.flavor.position === 'record' ? truth.commitAt : truth.end;
    this.#expect(truth.id === transaction.id, () => `${at} comes where ${truth.id} is due (${this.#logged} of its changes are logged)`);
    this.#expect(decodePosition(transaction.position) === position && transaction.commitTimeMs === truth.commitTimeMs, () => `${at} has another position or time than in the history`);
    this.#expect(transaction.entriesBefore === this.#logged, () => `${at} says that ${transaction.entriesBefore} of its changes are in earlier frames; it is ${this.#logged}`);
    const changes = this.#loggable(truth);
    for (const entry of entries) {
      const change = this.#unlogged(changes)[0];
      if (change === undefined) return this.#expect(false, () => `${at} has more changes than in the history`);
      this.#checkChange(entry, change);
      this.#logged += 1;
      this.#loggedOf.set(change.table, (this.#loggedOf.get(change.table) ?? 0) + 1);
    }
    if (this.#logged > entries.length) this.#coverage.saw('a transaction over several frames');
    this.#expect(!transaction.complete || this.#unlogged(changes).length === 0, () => `${at} is called complete with ${this.#logged} of ${changes.length} changes`);
    if (!transaction.complete) return;
    this.#next += 1;
    this.#forgetPart();
  }

  /** Changes of the transaction that is logged in part which are not in the log. */
  #unlogged(changes: readonly HistoryChange[]): HistoryChange[] {
    const seen = new Map<string, number>();
    return changes.filter(({ table }) => {
      const before = seen.get(table) ?? 0;
      seen.set(table, before + 1);
      return before >= (this.#loggedOf.get(table) ?? 0);
    });
  }

  #forgetPart(): void {
    this.#logged = 0;
    this.#loggedOf.clear();
  }

  #checkChange(entry: LoggedEntry, change: HistoryChange): void {
    const at = `the change with seq ${entry.seq}`;
    this.#expect(entry.schema?.table === change.table, () => `${at} is one of ${entry.schema?.table}, not of ${change.table}`);
    const columns = entry.schema?.columns.map(({ name }) => name).join();
    this.#expect(columns === change.columns.map(({ name }) => name).join(), () => `${at} has the columns ${columns}`);
    if (change.kind === 'truncate') return this.#expect(entry.op === Op.truncate, () => `${at} is no truncate`);
    if (change.kind === 'delete') {
      const flags = change.keyChanged ? EntryFlag.keyChanged : 0;
      return this.#expect(entry.op === Op.delete && entry.key === keyText(change.key) && entry.flags === flags, () => `${at} is no delete of ${change.key}`);
    }
    if (change.kind === 'reread') return;
    const key = keyText(change.values[0] as Cell);
    this.#expect(entry.key === key, () => `${at} is one of the row ${entry.key}, not of ${key}`);
    if (entry.op === Op.delete && change.notSent.size > 0) return this.#checkGone(entry, change.table, key);
    this.#expect(entry.op === Op[change.kind], () => `${at} has the operation ${entry.op}`);
    this.#expect(entry.row?.notSent.size === 0, () => `${at} lacks columns`);
    for (const [i, { name }] of change.columns.entries()) {
      const logged = entry.row?.values[i] ?? null;
      const isTrue = logged === (change.values[i] ?? null) || (change.notSent.has(i) && this.#rows.had(change.table, key, name, logged, this.#next));
      this.#expect(isTrue, () => `${at} (row ${key}) has ${JSON.stringify(logged)} in ${name}, where the source had ${JSON.stringify(change.values[i])}`);
    }
    if (change.notSent.size > 0) this.#coverage.saw('a row completed');
  }

  /** A row that was asked for and found gone must have gone later on. */
  #checkGone(entry: LoggedEntry, table: string, key: string): void {
    this.#coverage.saw("a row to be completed was 'gone'");
    this.#expect(this.#rows.wentAway(table, key, this.#next), () => `the change with seq ${entry.seq} became a delete of ${key}, which never went away`);
  }

  #loggable(transaction: HistoryTransaction): HistoryChange[] {
    const tables = this.#tables();
    return transaction.changes.filter((change) => isLogged(change) && tables.has(change.table));
  }

  #skipWhatIsNotLogged(upTo: number): void {
    const { history } = this.#server.database;
    while (this.#logged === 0) {
      const transaction = history[this.#next];
      if (transaction === undefined || transaction.end > upTo || this.#loggable(transaction).length > 0) return;
      this.#next += 1;
    }
  }

  #followRegisters(frame: ObservedFrame): void {
    const { name } = this.#server;
    for (const [register, value] of frame.registers) {
      if (register === identityRegister(name) && value === null) this.#coverage.saw('a source began anew');
      if (register !== positionRegister(name)) continue;
      if (value === null) this.#position = -1;
      else this.#moveTo(frame, decodeResumePoint(value));
    }
  }

  #moveTo(frame: ObservedFrame, resume: ReturnType<typeof decodeResumePoint>): void {
    const { history } = this.#server.database;
    const place = decodePosition(resume.position);
    const at = `the position after the frame at seq ${frame.firstSeq}`;
    if (this.#position === -1) this.#startAt(place);
    this.#expect(place >= this.#position, () => `${at} goes back from ${this.#position} to ${place}`);
    this.#position = place;
    this.#skipWhatIsNotLogged(place);
    const next = history[this.#next];
    this.#expect(next === undefined || next.end > place, () => `${at} is ${place}, but transaction ${next?.id}, which ends at ${next?.end}, is not in the log`);
    const before = history[this.#next - 1];
    const passed = before === undefined || before.end <= place || this.#loggable(before).length === 0;
    this.#expect(passed, () => `${at} is ${place}, but transaction ${before?.id}, which ends at ${before?.end}, is in the log`);
    const partial = resume.partial?.changes ?? 0;
    this.#expect(partial === this.#logged, () => `${at} says that ${partial} changes of the next transaction are logged; it is ${this.#logged}`);
    if (partial > 0 && next !== undefined && resume.partial !== null) {
      const position = this.#server.flavor.position === 'record' ? next.commitAt : next.end;
      this.#expect(decodePosition(resume.partial.position) === position, () => `${at} names another transaction as the one that is logged in part`);
    }
    this.#applyUpTo(place);
  }

  #startAt(place: number): void {
    const { history } = this.#server.database;
    const first = history.findIndex(({ end }) => end > place);
    this.#next = first === -1 ? history.length : first;
    this.#forgetPart();
  }

  #applyUpTo(place: number): void {
    const { history } = this.#server.database;
    for (; this.#applied < history.length; this.#applied += 1) {
      const transaction = history[this.#applied] as HistoryTransaction;
      if (transaction.end > place) return;
      for (const change of transaction.changes) applyChange(this.#state(change.table), change);
    }
  }

  #state(table: string): TableState {
    let state = this.#states.get(table);
    if (state === undefined) {
      state = new Map();
      this.#states.set(table, state);
    }
    return state;
  }

  /** A row of a snapshot, or a key that was looked up and that nobody has. */
  #checkRead(entry: LoggedEntry): void {
    const table = entry.schema?.table ?? '';
    const truth = this.#state(table).get(entry.key);
    const at = `row ${entry.key} of ${table}, read by snapshot ${entry.snapshot} and logged with seq ${entry.seq} at position ${this.#position},`;
    if (entry.op === Op.delete) {
      this.#coverage.saw('a key was found absent');
      return this.#findings.expect('G7', truth === undefined, () => `${at} was in the table then, and is deleted`);
    }
    if (entry.op !== Op.read || truth === undefined) return this.#findings.add('G7', `${at} was not in the table then`);
    const columns = this.#server.database.table(table).columns;
    for (const [i, column] of (entry.schema?.columns ?? []).entries()) {
      const expected = truth[placeOf(columns, column.name)] ?? null;
      const read = entry.row?.values[i] ?? null;
      this.#findings.expect('G7', expected === read, () => `${at} has ${JSON.stringify(read)} in ${column.name}, where the table had ${JSON.stringify(expected)}`);
    }
  }

  #expect(condition: boolean, message: () => string): void {
    this.#findings.expect('G1', condition, message);
  }
}

function placeOf(columns: readonly SimColumn[], name: string): number {
  return columns.findIndex((column) => column.name === name);
}
