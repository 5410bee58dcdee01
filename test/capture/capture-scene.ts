/** Capture of one simulated source into a real log, with time that passes as the test says. */
import { Capture, type CaptureStatus, type Connection } from '../../src/capture/capture.ts';
import { SchemaRegistry } from '../../src/capture/schema-registry.ts';
import { EntryCursor } from '../../src/change/entry.ts';
import { decodeKey } from '../../src/change/key.ts';
import { Op } from '../../src/change/operation.ts';
import type { FrameDraft, LogStore } from '../../src/connector/log-store.ts';
import { openLog } from '../../src/log/open.ts';
import { optionsOf } from '../log/fixtures.ts';
import { simRuntime } from '../log/sim-runtime.ts';
import { Executor } from '../sim/kernel/executor.ts';
import { SimClock } from '../sim/kernel/sim-clock.ts';
import { SimProcess } from '../sim/kernel/sim-process.ts';
import { SimRandom } from '../sim/kernel/sim-random.ts';
import { Trace } from '../sim/kernel/trace.ts';
import type { HistoryChange } from '../sim/source/history.ts';
import { SimDatabase } from '../sim/source/sim-database.ts';
import type { SimColumn } from '../sim/source/sim-row.ts';
import { SimServer } from '../sim/source/sim-server.ts';
import { SimSource } from '../sim/source/sim-source.ts';
import { simLogger, type LogLine } from '../sim/world/sim-logger.ts';

export const TABLE = 'public.items';

const BODY = 1;
const columns: readonly SimColumn[] = [
  { name: 'id', kind: 'text', toasted: false, defaultValue: null },
  { name: 'body', kind: 'text', toasted: true, defaultValue: null },
];

/** Longest virtual time that a test waits for something. */
const PATIENCE_MS = 300_000;

export class CaptureScene implements AsyncDisposable {
  readonly lines: LogLine[] = [];
  readonly log: LogStore;
  readonly #executor: Executor;
  readonly #database: SimDatabase;
  readonly #server: SimServer;
  readonly #capture: Capture;
  readonly #stop = new AbortController();
  readonly #connected = Promise.withResolvers<Connection>();
  /** Appends wait for it. */
  #gate: Promise<void> = Promise.resolve();
  #running: Promise<void> = Promise.resolve();

  private constructor(log: LogStore) {
    this.log = log;
    const random = new SimRandom(1);
    this.#executor = new Executor(random.fork('executor'), new Trace({ keepAll: false }));
    this.#database = new SimDatabase('shop', () => Math.floor(this.#executor.nowMs));
    this.#database.createTable(TABLE, columns);
    this.#server = new SimServer('shop', this.#database, { ranges: 'keys', position: 'record', pieceMessagesMax: 5, heartbeatEveryMs: 1_000 });
    const process = new SimProcess('daemon', this.#executor);
    const append = async (draft: FrameDraft, signal: AbortSignal): Promise<{ firstSeq: number; lastSeq: number }> => {
      await this.#gate;
      return log.append(draft, signal);
    };
    const gated = new Proxy(log, { get: (target, name): unknown => (name === 'append' ? append : Reflect.get(target, name, target)) });
    this.#capture = new Capture({
      source: new SimSource(this.#server, process, random.fork('source')),
      tables: [{ table: TABLE }],
      log: gated,
      schemas: new SchemaRegistry(log.registers),
      runtime: { clock: new SimClock(process, { offsetMs: 0 }), random: { fraction: () => 0.5, hex: () => '' }, disk: simRuntime().disk, logger: simLogger(process, (line) => this.lines.push(line)) },
      settings: { inFlightBytes: 1_000_000, snapshot: { parallel: 2, chunkBytes: 1_000, bytesPerSecondMax: null } },
      isRebuilt: false,
      logged: async () => new Set(),
      onConnected: async (connection) => this.#connected.resolve(connection),
    });
  }

  static async open(): Promise<CaptureScene> {
    return new CaptureScene(await openLog(optionsOf('/log'), simRuntime()));
  }

  /** Capture runs and streams. */
  async start(): Promise<Connection> {
    this.#running = this.#capture.run(this.#stop.signal);
    await this.until(() => this.status.phase === 'streaming');
    return this.#connected.promise;
  }

  async connected(): Promise<Connection> {
    return this.#capture.connected(this.#stop.signal);
  }

  /** The outcome of something that takes time, which passes until then. */
  async settled<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const settle = (): void => void (isSettled = true);
    promise.then(settle, settle);
    await this.until(() => isSettled);
    return promise;
  }

  /** `onRead` is called whenever a part of a table has been read. */
  onRead(onRead: () => void): void {
    this.#server.onRead = onRead;
  }

  /** Ids of the rows that there are by the stream's changes in the log up to a seq. */
  async statesBySeq(): Promise<(seq: number) => ReadonlySet<string>> {
    const changes: { readonly seq: number; readonly op: Op; readonly id: string }[] = [];
    await using reader = this.log.reader(0);
    for (let frame = await reader.poll(); frame !== undefined; frame = await reader.poll()) {
      const cursor = new EntryCursor(frame.entries, frame.firstSeq);
      while (cursor.next()) changes.push({ seq: cursor.seq, op: cursor.op, id: String(decodeKey(cursor.key()).map((part) => Buffer.from(part ?? []).toString())) });
    }
    return (upTo) => {
      const ids = new Set<string>();
      for (const { seq, op, id } of changes) {
        if (seq > upTo) break;
        if (op === Op.delete) ids.delete(id);
        else ids.add(id);
      }
      return ids;
    };
  }

  get status(): CaptureStatus {
    return this.#capture.status();
  }

  get isIdle(): boolean {
    return this.#capture.isIdle;
  }

  /** How often each of these was said. */
  said(...events: string[]): number[] {
    return events.map((event) => this.lines.filter((line) => line.event === event).length);
  }

  insert(...ids: string[]): void {
    this.#commit(ids.map((id) => ({ kind: 'insert', table: TABLE, columns, values: [id, `body of ${id}`], notSent: new Set() })), false);
  }

  /** Inserts a row by a transaction that is in the history, but that nobody sees until the returned function is called. */
  insertUnseen(id: string): () => void {
    return this.#commit([{ kind: 'insert', table: TABLE, columns, values: [id, `body of ${id}`], notSent: new Set() }], true);
  }

  /** Updates a row, whose body the stream does not send, in the same way. */
  updateUnseen(id: string): () => void {
    return this.#commit([{ kind: 'update', table: TABLE, columns, values: [id, `body of ${id}`], notSent: new Set([BODY]) }], true);
  }

  /** The rows become others, of which the stream says only that they did. */
  changeSilently(...ids: string[]): void {
    this.#commit([{ kind: 'reread', table: TABLE, columns, reason: 'rows were rewritten', sweep: true, rows: new Map(ids.map((id) => [id, [id, 'new']])) }], false);
  }

  /** The server is gone until the returned function is called. */
  loseServer(): () => void {
    this.#server.reachable = false;
    this.#server.cutReader('gone');
    return () => (this.#server.reachable = true);
  }

  /** The table is dropped at the server, and the connection with it, until the returned function makes it again. */
  dropTable(): () => void {
    const { tables } = this.#database;
    const table = tables.get(TABLE);
    tables.delete(TABLE);
    this.#server.cutReader('gone');
    return () => {
      if (table !== undefined) tables.set(TABLE, table);
    };
  }

  /** The reader's place in the history is dropped at the server, and the connection with it. */
  dropSlot(): void {
    this.#server.dropSlot();
    this.#server.cutReader('gone');
  }

  /** Frames wait before the log until the returned function is called. */
  holdAppends(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gate = promise;
    return resolve;
  }

  async pass(ms: number): Promise<void> {
    await this.#executor.run(() => false, this.#executor.nowMs + ms);
  }

  /** Time passes until this holds. */
  async until(holds: () => boolean): Promise<void> {
    if (!(await this.#executor.run(holds, this.#executor.nowMs + PATIENCE_MS))) throw new Error(`In ${PATIENCE_MS} ms of virtual time it did not come to: ${String(holds)}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    let ended = false;
    const running = this.#running.finally(() => (ended = true));
    await this.until(() => ended);
    await running;
    await this.log[Symbol.asyncDispose]();
  }

  #commit(changes: readonly HistoryChange[], hide: boolean): () => void {
    const { id } = this.#database.commit(changes, { hide, place: ({ nextPlace }) => nextPlace });
    this.#server.committed();
    return () => this.#database.show(id);
  }
}
