/**
 * Reads again what the stream left out: values out of line that an update did not touch, and for tables without a key whether a row like the
 * deleted one is left. With proof, like a snapshot: what is read is not older than the event, and when it is newer, the event that made it so
 * is on its way.
 */
import { keyColumns, type DeclaredSchema } from '../../../../src/change/schema.ts';
import type { IncompleteRow } from '../../../../src/connector/source.ts';
import { invariant } from '../../../../src/errors/invariant.ts';
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import type { RowSite } from '../catalog/catalog.ts';
import { ColumnKindByte, lengthAt, TupleLayout, valueStart } from '../tuple.ts';
import { accessError, INSUFFICIENT_PRIVILEGE } from './access-error.ts';
import { selectByKey, selectIdentical, type TextValue } from './completion-sql.ts';
import { readProven } from './proven-read.ts';
import { ReadConnections } from './read-connections.ts';
import type { ReadDeps } from './read-deps.ts';
import { CATALOG_CHANGED, sqlStateOf } from '../connection/sql-state.ts';

/** Rows that one statement looks up, and the bytes of their keys in it. */
const BATCH_ROWS = 256;
const BATCH_KEY_BYTES = 1024 * 1024;

/** How often a statement is made anew because DDL was faster. */
const DDL_ATTEMPTS_MAX = 5;

/** invalid_text_representation, numeric_value_out_of_range, invalid_datetime_format, datetime_field_overflow: of a key, nothing else is text here. */
const notOfType: ReadonlySet<string> = new Set(['22P02', '22003', '22007', '22008']);

export interface RowCompleter extends AsyncDisposable {
  /** Rows of format `postgres/1` without 'u', or `gone`, in the order asked for. See `SourceSession.completeRows`. */
  completeRows(rows: readonly IncompleteRow[], signal: AbortSignal): Promise<(Uint8Array | 'gone')[]>;
}

export function createRowCompleter(deps: ReadDeps): RowCompleter {
  return new Completer(deps);
}

/** A row that is asked about, taken apart. */
interface Question {
  /** Its place among the rows that were asked for. */
  readonly place: number;
  readonly row: Uint8Array;
  readonly schema: DeclaredSchema;
  /** Values by which it is found: of the key, or of all columns where the whole row is the key. */
  readonly values: readonly TextValue[];
  /** Places of the columns that are missing. */
  readonly missing: readonly number[];
}

type Answers = (Uint8Array | 'gone')[];

class Completer implements RowCompleter {
  readonly #deps: ReadDeps;
  readonly #connections: ReadConnections;

  constructor(deps: ReadDeps) {
    this.#deps = deps;
    this.#connections = new ReadConnections(deps.open, deps.clock);
  }

  async completeRows(rows: readonly IncompleteRow[], signal: AbortSignal): Promise<Answers> {
    const mark = this.#deps.visibility.mark();
    const answers: Answers = rows.map(() => 'gone');
    for (const batch of batchesOf(rows)) await this.#answer(batch, answers, mark, signal);
    return answers;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connections[Symbol.asyncDispose]();
  }

  /** Answers questions of one kind, wherever in the table their rows lie. */
  async #answer(batch: readonly Question[], answers: Answers, mark: number, signal: AbortSignal): Promise<void> {
    const [first] = batch as readonly [Question];
    const { table } = first.schema;
    for (let attempt = 1; ; attempt += 1) {
      try {
        for (const site of this.#deps.catalog.sitesOf(table)) await this.#lookUp(site, batch, answers, mark, signal);
        return;
      } catch (error) {
        const state = sqlStateOf(error);
        if (state === undefined) throw error;
        if (notOfType.has(state)) throw rekeyed(table, error);
        if (!CATALOG_CHANGED.has(state) || attempt === DDL_ATTEMPTS_MAX) throw error;
        await this.#deps.refreshCatalog(signal);
      }
    }
  }

  async #lookUp(site: RowSite, batch: readonly Question[], answers: Answers, mark: number, signal: AbortSignal): Promise<void> {
    const [first] = batch as readonly [Question];
    const { schema } = first;
    const key = keyColumns(schema).map((column) => column.name);
    const whole = key.length === 0;
    const readable = new Set(readableColumns(site, schema));
    const wanted = first.missing.filter((place) => readable.has(place));
    const names = wanted.map((place) => nameAt(schema, place));
    const values = batch.map((question) => question.values);
    const sql = whole ? selectIdentical(site, schema.columns.map((column) => column.name), values) : selectByKey(site, key, values, [...key, ...names]);
    const layout = new TupleLayout();
    let found = new Map<number, Uint8Array>();
    const onRow = (bytes: Buffer, start: number, end: number): void => {
      layout.read(bytes, start, end);
      const n = Number(valueAt(bytes, layout, 0)?.toString('latin1'));
      const question = batch[n];
      invariant(question !== undefined, 'a row that is found was asked for');
      if (whole) found.set(n, question.row);
      else if (sameValues(bytes, layout, question.values)) found.set(n, completed(question, wanted, bytes, layout, 1 + key.length));
    };
    const restart = (): void => {
      found = new Map();
    };
    try {
      await readProven(this.#deps, this.#connections, mark, () => ({ table: schema.table, statements: sql, after: '', onRow, restart }), signal);
    } catch (error) {
      if (sqlStateOf(error) !== INSUFFICIENT_PRIVILEGE) throw error;
      throw await accessError(this.#deps.query, this.#deps.source, site.relation, error, signal);
    }
    for (const [n, row] of found) answers[(batch[n] as Question).place] = row;
  }
}

/** Questions that one statement answers: of one form of row, with the same columns missing and the same parts of the key null. */
function batchesOf(rows: readonly IncompleteRow[]): Question[][] {
  const layout = new TupleLayout();
  const open = new Map<string, { questions: Question[]; bytes: number }>();
  const batches: Question[][] = [];
  rows.forEach((row, place) => {
    const question = questionOf(row, place, layout);
    const nulls = question.values.map((value) => (value === null ? 'n' : 'v')).join('');
    const name = JSON.stringify([row.schemaId, question.missing, keyColumns(row.schema).length === 0 ? '' : nulls]);
    const bytes = question.values.reduce((sum, value) => sum + (value?.length ?? 0), 0);
    let batch = open.get(name);
    if (batch === undefined || batch.questions.length === BATCH_ROWS || batch.bytes + bytes > BATCH_KEY_BYTES) {
      batch = { questions: [], bytes: 0 };
      open.set(name, batch);
      batches.push(batch.questions);
    }
    batch.questions.push(question);
    batch.bytes += bytes;
  });
  return batches;
}

function questionOf({ row, schema }: IncompleteRow, place: number, layout: TupleLayout): Question {
  const bytes = Buffer.from(row.buffer, row.byteOffset, row.byteLength);
  layout.read(bytes, 0, bytes.length);
  invariant(layout.count === schema.columns.length, 'a row has the columns of its schema');
  const key = keyColumns(schema);
  const identifying = key.length === 0 ? schema.columns.map((_, i) => i) : key.map((column) => schema.columns.indexOf(column));
  const missing: number[] = [];
  for (let i = 0; i < layout.count; i += 1) if (bytes[layout.columns[i] as number] === ColumnKindByte.unchanged) missing.push(i);
  return { place, row, schema, values: identifying.map((i) => valueAt(bytes, layout, i)), missing };
}

/** The text of a column of the tuple that the layout lies over. */
function valueAt(bytes: Buffer, layout: TupleLayout, i: number): Buffer | null {
  const column = layout.columns[i] as number;
  const kind = bytes[column];
  if (kind === ColumnKindByte.null) return null;
  invariant(kind === ColumnKindByte.text, 'what identifies a row is in it');
  return bytes.subarray(valueStart(column), valueStart(column) + lengthAt(bytes, column));
}

/** Places of the schema's columns that the table still has, read in the same way. */
function readableColumns(site: RowSite, schema: DeclaredSchema): number[] {
  return schema.columns.flatMap((column, place) => {
    const now = site.columns.find((candidate) => candidate.name === column.name);
    return now !== undefined && JSON.stringify(now.decoding) === JSON.stringify(column.decoding) ? [place] : [];
  });
}

function nameAt(schema: DeclaredSchema, place: number): string {
  const column = schema.columns[place];
  invariant(column !== undefined, 'a missing column is one of the schema');
  return column.name;
}

/** Whether the key that was found, in the columns behind the first, has the very bytes that were asked for. */
function sameValues(bytes: Buffer, layout: TupleLayout, values: readonly TextValue[]): boolean {
  return values.every((value, i) => {
    const found = valueAt(bytes, layout, 1 + i);
    return value === null || found === null ? value === found : found.equals(value);
  });
}

/** What stands for a value that the table no longer has, because its column was dropped or made another: left out, of no known length. */
const LOST = Buffer.from([ColumnKindByte.leftOut, 0, 0, 0, 0]);

/** The event's row with the missing columns from the row that was found, where `wanted` begin at column `from`. */
function completed(question: Question, wanted: readonly number[], found: Buffer, layout: TupleLayout, from: number): Uint8Array {
  const event = Buffer.from(question.row.buffer, question.row.byteOffset, question.row.byteLength);
  const own = new TupleLayout();
  own.read(event, 0, event.length);
  const parts: Buffer[] = [event.subarray(0, own.columns[0])];
  for (let i = 0; i < own.count; i += 1) {
    const column = own.columns[i] as number;
    const at = wanted.indexOf(i);
    if (event[column] !== ColumnKindByte.unchanged) parts.push(event.subarray(column, own.columns[i + 1]));
    else if (at < 0) parts.push(LOST);
    else parts.push(found.subarray(layout.columns[from + at], layout.columns[from + at + 1]));
  }
  return Buffer.concat(parts);
}

function rekeyed(table: string, cause: unknown): TailraceError {
  return new TailraceError('SRC_DDL', {
    message: `A key of ${table} is no value of its column any more: the column's type was changed.`,
    hint: 'Build the index again from a snapshot: `tailrace run --rebuild SOURCE`.',
    entity: table,
    cause,
  });
}
