/** Opens sessions of the Postgres source on a real server, with a sink that writes down what is pushed into it. */
import { setTimeout as pause } from 'node:timers/promises';
import { Client } from 'pg';
import { opName } from '../../src/change/operation.ts';
import { decodeKey } from '../../src/change/key.ts';
import type { DeclaredSchema } from '../../src/change/schema.ts';
import type { Beginnings, ChangeSink, ConnectRequest, SourceSession, TableRequest, TransactionStart } from '../../src/connector/source.ts';
import type { Logger } from '../../src/runtime/logger.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import { postgresConfigSchema, type PostgresConfig } from '../../connectors/sources/postgres/config.ts';
import { openSession, type OpeningDeps } from '../../connectors/sources/postgres/opening.ts';
import { decodePosition } from '../../connectors/sources/postgres/position.ts';
import type { PostgresSession, TableReading } from '../../connectors/sources/postgres/session.ts';
import { ColumnKindByte, lengthAt, TupleLayout, valueStart } from '../../connectors/sources/postgres/tuple.ts';

/** A column's text, null, or what stands for a value that is not there. */
export type Cell = string | null | { readonly unchanged: true } | { readonly leftOut: number };

export interface Change {
  readonly op: string;
  readonly flags: number;
  readonly table: string;
  readonly key: (string | null)[];
  readonly row: Record<string, Cell> | null;
  readonly incomplete: boolean;
}

export type SinkEvent =
  | { readonly kind: 'begin'; readonly start: TransactionStart }
  | ({ readonly kind: 'change' } & Change)
  | { readonly kind: 'truncate'; readonly table: string }
  | { readonly kind: 'commit'; readonly lsn: bigint }
  | { readonly kind: 'heartbeat'; readonly lsn: bigint }
  | { readonly kind: 'remember'; readonly state: Uint8Array }
  | { readonly kind: 'reread'; readonly table: string; readonly reason: string; readonly sweep: boolean };

const DEADLINE_MS = 20_000;

/** Waits for a condition, looking often; fails with what was waited for. */
export async function eventually(what: string, condition: () => boolean | Promise<boolean>, deadlineMs = DEADLINE_MS): Promise<void> {
  const until = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > until) throw new Error(`waited ${deadlineMs} ms in vain until ${what}`);
    await pause(5);
  }
}

export class RecordingSink implements ChangeSink {
  readonly events: SinkEvent[] = [];
  readonly schemas: DeclaredSchema[] = [];
  /** Called with each position that the stream may be resumed from. */
  onPosition: (position: Uint8Array) => void = () => {};
  /** Becomes congested at so many changes. */
  congestAt = Infinity;
  /** Rows are counted but not kept. */
  countOnly = false;
  changes = 0;
  #congested = false;
  #drained = Promise.withResolvers<void>();
  #layout = new TupleLayout();

  get congested(): boolean {
    return this.#congested;
  }

  setCongested(congested: boolean): void {
    this.#congested = congested;
    if (congested) return;
    this.#drained.resolve();
    this.#drained = Promise.withResolvers();
  }

  async drained(): Promise<void> {
    if (this.#congested) await this.#drained.promise;
  }

  declare(schema: DeclaredSchema): number {
    const text = JSON.stringify(schema);
    const known = this.schemas.findIndex((other) => JSON.stringify(other) === text);
    if (known >= 0) return known;
    return this.schemas.push(schema) - 1;
  }

  begin(start: TransactionStart): void {
    this.events.push({ kind: 'begin', start: { ...start, position: Buffer.from(start.position) } });
  }

  change(op: number, flags: number, schemaId: number, key: Uint8Array, keyLength: number, bytes: Uint8Array, rowStart: number, rowEnd: number, incomplete: boolean): void {
    this.changes += 1;
    if (this.changes === this.congestAt) this.setCongested(true);
    if (this.countOnly) return;
    const schema = this.schemas[schemaId] as DeclaredSchema;
    const keyParts = decodeKey(Buffer.from(key.subarray(0, keyLength))).map((part) => (part === null ? null : Buffer.from(part).toString()));
    const row = rowEnd > rowStart ? this.#row(schema, bytes, rowStart, rowEnd) : null;
    this.events.push({ kind: 'change', op: opName(op) ?? '?', flags, table: schema.table, key: keyParts, row, incomplete });
  }

  truncate(schemaId: number): void {
    this.events.push({ kind: 'truncate', table: (this.schemas[schemaId] as DeclaredSchema).table });
  }

  commit(resume: Uint8Array): void {
    this.events.push({ kind: 'commit', lsn: decodePosition(resume).lsn });
    this.onPosition(Buffer.from(resume));
  }

  heartbeat(resume: Uint8Array): void {
    this.events.push({ kind: 'heartbeat', lsn: decodePosition(resume).lsn });
    this.onPosition(Buffer.from(resume));
  }

  reread(table: string, reason: string, sweep: boolean): void {
    this.events.push({ kind: 'reread', table, reason, sweep });
  }

  remember(state: Uint8Array): void {
    this.events.push({ kind: 'remember', state: Buffer.from(state) });
  }

  /** The changes so far. */
  rows(): Change[] {
    return this.events.flatMap((event) => {
      if (event.kind !== 'change') return [];
      const { kind: _, ...change } = event;
      return [change];
    });
  }

  of<K extends SinkEvent['kind']>(kind: K): Extract<SinkEvent, { kind: K }>[] {
    return this.events.filter((event): event is Extract<SinkEvent, { kind: K }> => event.kind === kind);
  }

  #row(schema: DeclaredSchema, bytes: Uint8Array, start: number, end: number): Record<string, Cell> {
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (this.#layout.read(view, start, end) !== end) throw new Error('the row does not fill its bytes');
    return Object.fromEntries(schema.columns.map((column, i) => [column.name, cellAt(view, this.#layout.columns[i] as number)]));
  }
}

function cellAt(bytes: Buffer, column: number): Cell {
  switch (bytes[column]) {
    case ColumnKindByte.null:
      return null;
    case ColumnKindByte.unchanged:
      return { unchanged: true };
    case ColumnKindByte.leftOut:
      return { leftOut: lengthAt(bytes, column) };
    default:
      return bytes.toString('utf8', valueStart(column), valueStart(column) + lengthAt(bytes, column));
  }
}

export interface SourceOptions {
  readonly url: string;
  readonly tables: readonly (string | TableRequest)[];
  readonly config?: Partial<Record<keyof PostgresConfig, unknown>>;
  readonly resume?: ConnectRequest['resume'];
  readonly logged?: ConnectRequest['logged'];
  /** By default those of a data directory that every slot of the test process belongs to, once it was begun with. */
  readonly beginnings?: Beginnings;
  readonly logger?: Logger;
  readonly opening?: Partial<OpeningDeps>;
  /** Confirm every position as soon as it is pushed, as an engine with an instant log would. By default yes. */
  readonly confirm?: boolean;
  readonly sink?: RecordingSink;
}

const begun = new Set<string>();

/** Of a data directory; that of the whole test process, unless another set is given. */
export function rememberedBeginnings(identities = begun): Beginnings {
  return { has: (identity) => identities.has(identity), note: async (identity) => void identities.add(identity) };
}

/** Reading tables is not a part of the stream's tests. */
function noReading(): TableReading {
  const unexpected = async (): Promise<never> => Promise.reject(new Error('this test reads no tables'));
  const dispose = async (): Promise<void> => {};
  return {
    snapshots: { checkSelection: unexpected, planRanges: unexpected, readChunk: unexpected, [Symbol.asyncDispose]: dispose },
    completer: { completeRows: unexpected, [Symbol.asyncDispose]: dispose },
  };
}

export function openingDeps(options: Pick<SourceOptions, 'url' | 'config' | 'logger' | 'opening'>): OpeningDeps {
  const config = postgresConfigSchema.parse({ type: 'postgres', url: options.url, ...options.config });
  return {
    source: 'shop',
    runtime: nodeRuntime(options.logger ?? silentLogger),
    config,
    slot: config.slot ?? 'tailrace_shop',
    publication: config.publication ?? 'tailrace_shop',
    createReading: noReading,
    ...options.opening,
  };
}

export async function connect(options: SourceOptions, signal = AbortSignal.timeout(60_000)): Promise<PostgresSession> {
  const tables = options.tables.map((table) => (typeof table === 'string' ? { table } : table));
  return openSession(openingDeps(options), { tables, resume: options.resume ?? null, logged: options.logged ?? (async () => new Set()), beginnings: options.beginnings ?? rememberedBeginnings() }, signal);
}

/** A session that streams into a sink until it is stopped. */
export class Streaming implements AsyncDisposable {
  readonly session: SourceSession;
  readonly sink: RecordingSink;
  readonly #stop = new AbortController();
  readonly ended: Promise<void>;
  /** What an earlier session remembered. */
  readonly #state: Uint8Array | null;
  /** What ended the stream, if it failed. */
  failure: unknown = null;
  /** Newest position that was pushed. */
  position: Uint8Array;

  static async open(options: SourceOptions): Promise<Streaming> {
    return new Streaming(await connect(options), options);
  }

  constructor(session: SourceSession, options: SourceOptions) {
    this.session = session;
    this.sink = options.sink ?? new RecordingSink();
    this.position = session.start;
    this.#state = options.resume?.state ?? null;
    this.sink.onPosition = (position) => {
      this.position = position;
      if (options.confirm !== false) session.confirm(position);
    };
    this.ended = session.stream(this.sink, this.#stop.signal).catch((error: unknown) => {
      this.failure = error;
    });
  }

  /** Waits until the condition on the sink holds; fails at once when the stream fails. */
  async until(what: string, condition: (sink: RecordingSink) => boolean, deadlineMs?: number): Promise<void> {
    await eventually(what, () => {
      if (this.failure !== null) throw this.failure;
      return condition(this.sink);
    }, deadlineMs);
  }

  /** Waits until everything that is committed now has been pushed. */
  async caughtUp(): Promise<void> {
    const { lsn } = decodePosition((await this.session.head(AbortSignal.timeout(10_000))).position);
    await this.until(`the stream passes ${lsn}`, () => {
      this.session.nudge();
      return decodePosition(this.position).lsn >= lsn;
    });
  }

  /** The failure, when the stream ends with one. */
  async failed(): Promise<unknown> {
    await eventually('the stream fails', () => this.failure !== null);
    return this.failure;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.ended;
  }

  get resume(): NonNullable<ConnectRequest['resume']> {
    return { position: this.position, identity: this.session.identity, state: this.sink.of('remember').at(-1)?.state ?? this.#state };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.session[Symbol.asyncDispose]();
  }
}

/** A connection for a test's own transactions, closed with the test. */
export async function openClient(url: string): Promise<Client & AsyncDisposable> {
  const client = new Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  return Object.assign(client, { [Symbol.asyncDispose]: async (): Promise<void> => client.end() });
}
