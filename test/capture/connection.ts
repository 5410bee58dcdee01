/** One connection of a source, and the log that its frames go to: what tests of capture push into, break off and go on with. */
import { ChunkWindows } from '../../src/capture/chunk-window.ts';
import { FrameBufferPool, type IncompleteEntry } from '../../src/capture/frame-builder.ts';
import { FrameQueue } from '../../src/capture/frame-queue.ts';
import { Intake } from '../../src/capture/intake.ts';
import { decodeResumePoint, positionRegister, type ResumePoint } from '../../src/capture/resume-point.ts';
import { decodeSchema, SchemaRegistry } from '../../src/capture/schema-registry.ts';
import { StreamPosition } from '../../src/capture/stream-position.ts';
import { EntryCursor } from '../../src/change/entry.ts';
import { Op } from '../../src/change/operation.ts';
import type { FrameDraft } from '../../src/connector/log-store.ts';
import { ByteBudget } from '../../src/runtime/byte-budget.ts';

export const at = (n: number): Buffer => Buffer.from([n]);

const nothing = Buffer.alloc(0);

export class Log {
  readonly frames: (Omit<FrameDraft, 'entries'> & { readonly bytes: number })[] = [];
  readonly registers = new Map<string, Uint8Array>();
  /** `table key` of every entry, and behind it what it holds besides a key. */
  readonly logged: string[] = [];
  /** Frames that it takes before the process is killed. */
  framesLeft = Infinity;
  readonly durableSeq = 0;

  readonly append = async ({ entries, ...draft }: FrameDraft): Promise<{ firstSeq: number; lastSeq: number }> => {
    if (this.framesLeft === 0) throw new Error('killed');
    this.framesLeft -= 1;
    this.frames.push({ ...draft, bytes: entries.length });
    for (const [name, value] of draft.registers) if (value !== null) this.registers.set(name, value);
    const cursor = new EntryCursor(entries, 1);
    while (cursor.next()) {
      const schema = this.registers.get(`schema:${cursor.schemaId}`);
      const table = schema === undefined ? '?' : decodeSchema(schema).table;
      const what = cursor.op === Op.truncate ? 'truncate' : `${cursor.key()}${cursor.op === Op.delete ? ' gone' : ''}${cursor.row().length === 0 ? '' : ` ${cursor.row().length}`}`;
      this.logged.push(`${table} ${what}`);
    }
    return { firstSeq: 1, lastSeq: 1 };
  };
}

export interface ConnectionOptions {
  readonly log?: Log;
  readonly complete?: (row: IncompleteEntry) => Uint8Array | 'gone';
  readonly budget?: ByteBudget;
}

/** What is sent is told as `table key`, or `table key?` for a row that lacks columns; a transaction by its number. */
export class Connection {
  readonly log: Log;
  readonly #queue: FrameQueue;
  readonly intake: Intake;
  /** Rows that were asked for, call by call. */
  readonly slices: number[] = [];
  failure: unknown = null;

  constructor(tables: readonly string[], resume: ResumePoint, { log = new Log(), complete = () => nothing, budget = new ByteBudget(1_000_000) }: ConnectionOptions = {}) {
    this.log = log;
    const compare = (a: Uint8Array, b: Uint8Array): number => Buffer.compare(a, b);
    const pool = new FrameBufferPool();
    const schemas = new SchemaRegistry(log.registers);
    const completeSlice = async (rows: readonly IncompleteEntry[]): Promise<(Uint8Array | 'gone')[]> => {
      this.slices.push(rows.length);
      return rows.map((row) => complete(row));
    };
    this.#queue = new FrameQueue({ source: 's', log, compare, tableOf: (id) => String(schemas.get(id)?.table), budget, pool, complete: completeSlice, signal: new AbortController().signal });
    this.#queue.onFailure((error) => (this.failure = error));
    this.intake = new Intake({
      source: 's',
      tables: new Set(tables),
      compare,
      schemas,
      windows: new ChunkWindows(compare, resume.position),
      place: new StreamPosition(resume.position, { session: { nudge: () => {} }, compare, clock: { schedule: () => () => {} } }),
      queue: this.#queue,
      budget,
      pool,
      resume,
      counters: { transactions: 0, changes: 0, bytes: 0 },
      confirm: () => {},
      onReread: () => {},
      onCommit: () => {},
    });
  }

  begin(n: number, id = n): void {
    this.intake.begin({ id: BigInt(id), position: at(n), commitTimeMs: 0 });
  }

  send(...sent: string[]): void {
    for (const change of sent) {
      const [table, text] = change.split(' ') as [string, string];
      const schema = this.intake.declare({ table, format: 'f', columns: [] });
      const key = text.replace('?', '');
      if (key === 'truncate') this.intake.truncate(schema);
      else this.intake.change(Op.insert, 0, schema, Buffer.from(key), key.length, nothing, 0, 0, key !== text);
    }
  }

  /** The connection breaks when all that was sent is durable: where the next one goes on. */
  async break(): Promise<ResumePoint> {
    this.intake.insertRegisters([]);
    await this.#queue.settled();
    return decodeResumePoint(this.log.registers.get(positionRegister('s')) as Uint8Array);
  }
}
