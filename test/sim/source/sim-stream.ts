/** The stream of a simulated source: pushes the history piece by piece, as fast as the network and the sink let it. */
import { EntryFlag } from '../../../src/change/entry.ts';
import { Op } from '../../../src/change/operation.ts';
import type { ChangeSink } from '../../../src/connector/source.ts';
import { untilAborted } from '../../../src/runtime/abort.ts';
import type { HistoryChange, HistoryTransaction } from './history.ts';
import { encodePosition } from './sim-position.ts';
import { declaredSchema, encodeRow, keyOf, type Cell, type SimColumn } from './sim-row.ts';
import type { SimSessionParts } from './sim-session.ts';
import { hex } from './sim-snapshots.ts';

/** Most bytes of rows that arrive at once. */
const PIECE_BYTES_MAX = 64 * 1024;

/** Chance of a heartbeat between two transactions that follow each other. */
const HEARTBEAT_BETWEEN = 0.05;

/** How likely the source remembers something just before a message: most do so seldom. */
const REMEMBER_SHARES = [0, 0.005, 0.05] as const;

const GARBAGE = 0xee;
const ROW_OFFSET = 3;

export class SimStream {
  readonly #parts: SimSessionParts;
  readonly #pushed = new Set<bigint>();
  readonly #schemaIds = new Map<readonly SimColumn[], number>();
  readonly #tables: ReadonlySet<string>;
  /** Place in the history of the transaction that is next or under way; -1 for one that has not begun, else its next change. */
  #next: number;
  #change = -1;
  #heartbeatWanted = false;
  /** Everything up to here has been pushed. */
  #passed: number;
  readonly #rememberShare: number;
  #wake: () => void = () => {};

  constructor(parts: SimSessionParts) {
    this.#parts = parts;
    this.#tables = new Set(parts.tables.map(({ table }) => table));
    this.#passed = parts.start;
    this.#rememberShare = parts.memory === null ? 0 : parts.random.pick(REMEMBER_SHARES);
    const { history } = parts.server.database;
    const first = history.findIndex(({ end }) => end > parts.start);
    this.#next = first === -1 ? history.length : first;
  }

  /** True for transactions that are in the log, or on their way there. */
  hasPushed(id: bigint): boolean {
    return this.#pushed.has(id) || this.#parts.unproven.has(id);
  }

  /** There may be something to push. */
  wake(): void {
    this.#wake();
  }

  /** Somebody waits for the stream to say where it is. */
  nudge(): void {
    this.#heartbeatWanted = true;
    this.#wake();
  }

  async run(sink: ChangeSink, signal: AbortSignal): Promise<void> {
    const { link } = this.#parts;
    try {
      for (;;) {
        if (!this.#hasWork && !this.#heartbeatWanted) await this.#work(signal);
        await link.pass('stream', signal);
        this.#push(sink);
        while (sink.congested) await link.until(untilAborted(sink.drained(), signal), signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  get #hasWork(): boolean {
    return this.#next < this.#parts.server.database.history.length;
  }

  /** Resolves when there is a transaction or it is time to say that there is none. */
  async #work(signal: AbortSignal): Promise<void> {
    const { link, server, process, random } = this.#parts;
    const woken = Promise.withResolvers<void>();
    this.#wake = woken.resolve;
    const cancel = process.after(random.real(0.5, 1.5) * server.flavor.heartbeatEveryMs, 'heartbeat', () => this.nudge());
    try {
      await link.until(woken.promise, signal);
    } finally {
      this.#wake = () => {};
      cancel();
    }
  }

  #push(sink: ChangeSink): void {
    const { server, random } = this.#parts;
    const { history, end } = server.database;
    let bytes = 0;
    for (let messages = random.between(1, server.flavor.pieceMessagesMax); messages > 0 && bytes < PIECE_BYTES_MAX; messages -= 1) {
      const transaction = history[this.#next];
      if (transaction === undefined) break;
      this.#remember(sink);
      bytes += this.#message(transaction, sink);
    }
    if (this.#change !== -1) return;
    if (this.#next === history.length) {
      this.#heartbeat(end, sink);
      this.#heartbeatWanted = false;
    } else if (random.chance(HEARTBEAT_BETWEEN)) {
      const before = history[this.#next - 1];
      this.#heartbeat(Math.max(before?.end ?? 0, this.#parts.start), sink);
    }
  }

  #heartbeat(place: number, sink: ChangeSink): void {
    this.#passed = place;
    sink.heartbeat(encodePosition(place));
  }

  #remember(sink: ChangeSink): void {
    const { memory, random } = this.#parts;
    if (memory === null || !random.chance(this.#rememberShare)) return;
    // The engine keeps a copy.
    const state = memory.note(this.#passed);
    sink.remember(state);
    state.fill(GARBAGE);
  }

  /** Pushes the next message of the transaction and returns its size. */
  #message(transaction: HistoryTransaction, sink: ChangeSink): number {
    const { id, commitAt, end, commitTimeMs, changes } = transaction;
    if (this.#change === -1) {
      this.#pushed.add(id);
      const position = this.#parts.server.flavor.position === 'record' ? commitAt : end;
      this.#parts.watch.comesTo(commitAt);
      sink.begin({ id, position: encodePosition(position), commitTimeMs });
      this.#change = 0;
      return 0;
    }
    const change = changes[this.#change];
    this.#change += 1;
    if (change === undefined) {
      this.#passed = end;
      sink.commit(encodePosition(end));
      this.#next += 1;
      this.#change = -1;
      return 0;
    }
    return this.#tables.has(change.table) ? this.#pushChange(change, sink) : 0;
  }

  #pushChange(change: HistoryChange, sink: ChangeSink): number {
    if (change.kind === 'reread') {
      sink.reread(change.table, change.reason, change.sweep);
      return 0;
    }
    const schemaId = this.#schemaId(change.table, change.columns, sink);
    if (change.kind === 'truncate') {
      sink.truncate(schemaId);
      return 0;
    }
    const isDelete = change.kind === 'delete';
    const key = keyOf(isDelete ? change.key : (change.values[0] as Cell));
    this.#parts.watch.pushed(change.table, hex(key));
    const row = isDelete ? Buffer.alloc(0) : encodeRow(change.values, change.notSent);
    // The sink must copy what it is given: the buffers are larger than what they hold, and spoilt at once.
    const keyBuffer = Buffer.alloc(key.length + 5, GARBAGE);
    const rowBuffer = Buffer.alloc(row.length + 2 * ROW_OFFSET, GARBAGE);
    key.copy(keyBuffer);
    row.copy(rowBuffer, ROW_OFFSET);
    const op = isDelete ? Op.delete : Op[change.kind];
    const flags = isDelete && change.keyChanged ? EntryFlag.keyChanged : 0;
    sink.change(op, flags, schemaId, keyBuffer, key.length, rowBuffer, ROW_OFFSET, ROW_OFFSET + row.length, !isDelete && change.notSent.size > 0);
    keyBuffer.fill(GARBAGE);
    rowBuffer.fill(GARBAGE);
    return row.length;
  }

  #schemaId(table: string, columns: readonly SimColumn[], sink: ChangeSink): number {
    let id = this.#schemaIds.get(columns);
    if (id === undefined) {
      id = sink.declare(declaredSchema(table, columns));
      this.#schemaIds.set(columns, id);
    }
    return id;
  }
}
