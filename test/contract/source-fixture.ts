/** What the tests of the source contract stand on: a database that is driven in words of its own, and a sink that holds the stream to its rules. */
import { Op } from '../../src/change/operation.ts';
import { decodeKey } from '../../src/change/key.ts';
import type { DeclaredSchema } from '../../src/change/schema.ts';
import { EntryFlag } from '../../src/change/entry.ts';
import type { Beginnings, ChangeSink, Chunk, ConnectRequest, Selection, Source, SourceSession, TransactionStart } from '../../src/connector/source.ts';
import { codeOf } from '../../src/errors/tailrace-error.ts';
import { encodeKey } from '../change/encode-key.ts';

/** A row of a test table. `id` is the key; `body` may be one that the source does not send when an update leaves it as it was. */
export interface Row {
  readonly id: string;
  readonly name: string | null;
  readonly body: string | null;
}

/** What a transaction does, in words that every database understands. */
export type Write =
  | { readonly kind: 'insert'; readonly table: string; readonly row: Row }
  | { readonly kind: 'update'; readonly table: string; readonly id: string; readonly set: Partial<Omit<Row, 'id'>> }
  /** The row goes on under another key. */
  | { readonly kind: 'rename'; readonly table: string; readonly id: string; readonly to: string }
  | { readonly kind: 'delete'; readonly table: string; readonly id: string }
  | { readonly kind: 'truncate'; readonly table: string };

/** One database, empty but for its tables, and the ways to it. */
export interface SourceFixture extends AsyncDisposable {
  /** Full names of two tables that the source reads, and of one that it does not. */
  readonly tables: { readonly items: string; readonly others: string; readonly foreign: string };
  /** A connector as a process of its own has it. */
  source(): Source;
  /** Commits one transaction; resolves when the database says so. */
  commit(writes: readonly Write[]): Promise<void>;
  /** A transaction that has done its writes and is committed only later; without it, tests of open transactions are left out. */
  readonly begin?: ((writes: readonly Write[]) => Promise<{ commit(): Promise<void> }>) | undefined;
  /** The rows as the database has them now, asked in another way than the source does. */
  rows(table: string): Promise<Row[]>;
  /** Conditions in the source's own language: of the rows that have this name (which has nothing to quote), and one that is none. */
  readonly conditions: { readonly nameIs: (name: string) => string; readonly broken: string };
  /** Moves all rows of a table without changing one; without it, nothing in this database makes ranges useless. */
  readonly rewrite?: ((table: string) => Promise<void>) | undefined;
  /** Does at once what the database does from time to time, and needs before it lets history go; without it, it needs nothing. */
  readonly tidy?: (() => Promise<void>) | undefined;
  /** Breaks the connection that the stream comes over. */
  cut(): Promise<void>;
}

export const signal = AbortSignal.timeout(10 * 60_000);

const WITHIN_MS = 20_000;

/** Waits for a condition, looking often. What `look` throws ends the wait. */
export async function until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + WITHIN_MS;
  while (!(await look())) {
    if (performance.now() > deadlineMs) throw new Error(`not within ${WITHIN_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export interface PushedChange {
  readonly op: Op;
  readonly keyChanged: boolean;
  readonly table: string;
  readonly schemaId: number;
  readonly schema: DeclaredSchema;
  readonly id: string;
  readonly key: Buffer;
  readonly row: Buffer;
  readonly incomplete: boolean;
}

export interface PushedTransaction {
  readonly start: TransactionStart;
  readonly changes: PushedChange[];
  /** From where the stream goes on behind it; null while it is under way. */
  resume: Buffer | null;
}

/** Writes down what is pushed, and every rule of `ChangeSink` that is broken. */
export class StrictSink implements ChangeSink {
  readonly source: Source;
  readonly transactions: PushedTransaction[] = [];
  readonly broken: string[] = [];
  readonly rereads: { readonly table: string; readonly sweep: boolean }[] = [];
  readonly schemas: DeclaredSchema[] = [];
  /** Everything that concerns us has been pushed up to here. */
  position: Buffer;
  heartbeats = 0;
  /** The changes after which the sink is full; null for never. */
  fullAfter: number | null = null;
  state: Uint8Array | null;
  onPushed: (change: PushedChange) => void = () => {};
  onPassed: () => void = () => {};
  #changes = 0;
  #drained: PromiseWithResolvers<void> | null = null;

  constructor(source: Source, start: Uint8Array, state: Uint8Array | null) {
    this.source = source;
    this.position = Buffer.from(start);
    this.state = state;
  }

  get changes(): PushedChange[] {
    return this.transactions.flatMap(({ changes }) => changes);
  }

  /** Resume points in their order. */
  get resumes(): Buffer[] {
    return this.transactions.flatMap(({ resume }) => (resume === null ? [] : [resume]));
  }

  get congested(): boolean {
    return this.fullAfter !== null && this.#changes >= this.fullAfter;
  }

  async drained(): Promise<void> {
    this.#drained ??= Promise.withResolvers<void>();
    await this.#drained.promise;
  }

  /** There is room again. */
  drain(): void {
    this.fullAfter = null;
    this.#drained?.resolve();
    this.#drained = null;
  }

  declare(schema: DeclaredSchema): number {
    const text = JSON.stringify(schema);
    const known = this.schemas.findIndex((declared) => JSON.stringify(declared) === text);
    if (known !== -1) return known;
    return this.schemas.push(schema) - 1;
  }

  begin(start: TransactionStart): void {
    const last = this.transactions.at(-1);
    if (this.#open !== undefined) this.broken.push(`transaction ${start.id} begins within another`);
    if (last !== undefined && this.source.comparePositions(start.position, last.start.position) <= 0) this.broken.push(`the position of transaction ${start.id} is not behind the one before`);
    if (this.source.comparePositions(start.position, this.position) < 0) this.broken.push(`transaction ${start.id} comes although the stream had passed its position`);
    this.transactions.push({ start: { ...start, position: Buffer.from(start.position) }, changes: [], resume: null });
  }

  change(op: Op, flags: number, schemaId: number, key: Uint8Array, keyLength: number, bytes: Uint8Array, rowStart: number, rowEnd: number, incomplete: boolean): void {
    const schema = this.#schemaOf(schemaId);
    if (schema === undefined) return;
    const ownKey = Buffer.from(key.subarray(0, keyLength));
    const [part] = decodeKey(ownKey);
    const isDelete = op === Op.delete;
    if (isDelete && rowEnd !== rowStart) this.broken.push('a delete has a row');
    const id = part === undefined || part === null ? '' : Buffer.from(part).toString();
    this.#push({ op, keyChanged: (flags & EntryFlag.keyChanged) !== 0, table: schema.table, schemaId, schema, id, key: ownKey, row: Buffer.from(bytes.subarray(rowStart, rowEnd)), incomplete });
  }

  truncate(schemaId: number): void {
    const schema = this.#schemaOf(schemaId);
    if (schema === undefined) return;
    this.#push({ op: Op.truncate, keyChanged: false, table: schema.table, schemaId, schema, id: '', key: Buffer.alloc(0), row: Buffer.alloc(0), incomplete: false });
  }

  commit(resume: Uint8Array): void {
    const open = this.#open;
    if (open === undefined) this.broken.push('a commit comes without a transaction');
    else open.resume = Buffer.from(resume);
    if (open !== undefined && this.source.comparePositions(resume, open.start.position) < 0) this.broken.push(`the stream would be resumed before transaction ${open.start.id}`);
    this.#pass(resume);
  }

  heartbeat(resume: Uint8Array): void {
    if (this.#open !== undefined) this.broken.push('a heartbeat comes within a transaction');
    this.heartbeats += 1;
    this.#pass(resume);
  }

  reread(table: string, _reason: string, sweep: boolean): void {
    this.rereads.push({ table, sweep });
  }

  remember(state: Uint8Array): void {
    this.state = Buffer.from(state);
  }

  get #open(): PushedTransaction | undefined {
    const last = this.transactions.at(-1);
    return last?.resume === null ? last : undefined;
  }

  #schemaOf(schemaId: number): DeclaredSchema | undefined {
    const schema = this.schemas[schemaId];
    if (schema === undefined) this.broken.push(`a change has the schema ${schemaId}, which was not declared`);
    return schema;
  }

  #push(change: PushedChange): void {
    this.#changes += 1;
    const open = this.#open;
    if (open === undefined) this.broken.push(`a change of ${change.id} comes outside of a transaction`);
    else open.changes.push(change);
    this.onPushed(change);
  }

  #pass(resume: Uint8Array): void {
    if (this.source.comparePositions(resume, this.position) < 0) this.broken.push('the stream goes back');
    this.position = Buffer.from(resume);
    this.onPassed();
  }
}

export type Resume = NonNullable<ConnectRequest['resume']>;

/** A session whose stream runs into a strict sink. */
export class Reading implements AsyncDisposable {
  readonly fixture: SourceFixture;
  readonly source: Source;
  readonly session: SourceSession;
  readonly sink: StrictSink;
  readonly ended: Promise<void>;
  failure: unknown = null;
  readonly #stop = new AbortController();
  #over = false;

  private constructor(fixture: SourceFixture, source: Source, session: SourceSession, sink: StrictSink) {
    this.fixture = fixture;
    this.source = source;
    this.session = session;
    this.sink = sink;
    this.ended = session.stream(sink, this.#stop.signal).then(
      () => void (this.#over = true),
      (error: unknown) => {
        this.#over = true;
        this.failure = error;
      },
    );
  }

  static async open(fixture: SourceFixture, resume: Resume | null = null, prepare: (sink: StrictSink) => void = () => {}): Promise<Reading> {
    const source = fixture.source();
    const session = await connect(fixture, source, resume);
    const sink = new StrictSink(source, session.start, resume?.state ?? null);
    prepare(sink);
    return new Reading(fixture, source, session, sink);
  }

  get isOver(): boolean {
    return this.#over;
  }

  /** From where another session goes on when this one ends here. */
  get resume(): Resume {
    return { position: this.sink.position, identity: this.session.identity, state: this.sink.state };
  }

  /** Waits until everything has been pushed that is committed now. */
  async caughtUp(): Promise<void> {
    const { position } = await this.session.head(signal);
    await this.until('the stream passes the head', () => {
      this.session.nudge();
      return this.source.comparePositions(this.sink.position, position) >= 0;
    });
  }

  async until(what: string, look: () => boolean): Promise<void> {
    await until(what, () => {
      if (this.failure !== null) throw this.failure;
      return look();
    });
  }

  /** Tells the stream to end, and waits until it has. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.session[Symbol.asyncDispose]();
    await this.source[Symbol.asyncDispose]();
  }
}

/** Of one data directory, that of all tests. */
const begun = new Set<string>();
const beginnings: Beginnings = { has: (identity) => begun.has(identity), note: async (identity) => void begun.add(identity) };

/** The server may need a moment to notice that the session before has gone. */
async function connect({ tables }: SourceFixture, source: Source, resume: Resume | null): Promise<SourceSession> {
  let session: SourceSession | undefined;
  await until('the source is free', async () => {
    try {
      session = await source.connect({ tables: [{ table: tables.items }, { table: tables.others }], resume, logged: async () => new Set(), beginnings }, signal);
      return true;
    } catch (error) {
      if (codeOf(error) === 'SRC_SLOT_IN_USE') return false;
      throw error;
    }
  });
  return session as SourceSession;
}

/** The code that connecting is refused with. */
export async function refusal(fixture: SourceFixture, request: Partial<ConnectRequest>): Promise<string | undefined> {
  const source = fixture.source();
  try {
    const session = await source.connect({ tables: [{ table: fixture.tables.items }], resume: null, logged: async () => new Set(), beginnings, ...request }, signal);
    await session[Symbol.asyncDispose]();
    return undefined;
  } catch (error) {
    return codeOf(error) ?? String(error);
  } finally {
    await source[Symbol.asyncDispose]();
  }
}

const COLUMNS = ['id', 'name', 'body'] as const;

/** A row of bytes as the source's own format reads it. */
export function decoded(source: Source, schema: DeclaredSchema, row: Uint8Array): Row {
  const [id, name, body] = source.format.decoder({ ...schema, id: 1, source: source.name }, COLUMNS).decode(row);
  const text = (value: unknown): string | null => (typeof value === 'string' ? value : null);
  return { id: text(id) ?? '', name: text(name), body: text(body) };
}

export function chunkRows(source: Source, chunk: Chunk): Row[] {
  return chunk.offsets.slice(1).map((end, i) => decoded(source, chunk.schema, chunk.bytes.subarray(chunk.offsets[i], end)));
}

/** Ids by the keys that stand beside the rows. */
export function chunkIds({ keyBytes, keyOffsets }: Chunk): string[] {
  return keyOffsets.slice(1).map((end, i) => idOf(keyBytes.subarray(keyOffsets[i], end)));
}

/** Ids by the keys that no row has. */
export function absentIds({ absentKeys }: Chunk): string[] {
  return absentKeys.map((key) => idOf(key));
}

function idOf(key: Uint8Array): string {
  const [part] = decodeKey(Buffer.from(key));
  return part === undefined || part === null ? '' : Buffer.from(part).toString();
}

/** A selection of rows by their ids. */
export function selectIds(ids: readonly string[]): Extract<Selection, { readonly kind: 'keys' }> {
  return { kind: 'keys', keys: ids.map((id) => encodeKey([Buffer.from(id)])) };
}

export const insert = (table: string, id: string, name: string | null = null, body: string | null = null): Write => ({ kind: 'insert', table, row: { id, name, body } });
export const update = (table: string, id: string, set: Partial<Omit<Row, 'id'>>): Write => ({ kind: 'update', table, id, set });
export const rename = (table: string, id: string, to: string): Write => ({ kind: 'rename', table, id, to });
export const remove = (table: string, id: string): Write => ({ kind: 'delete', table, id });

/** `insert a`, `delete+ a` for one that goes on under another key. */
export function textOf({ op, keyChanged, id }: PushedChange): string {
  const name = Object.entries(Op).find(([, value]) => value === op)?.[0] ?? '?';
  return `${name}${keyChanged ? '+' : ''}${id === '' ? '' : ` ${id}`}`;
}
