/** The change log as lines of JSON, one for each change: what `tailrace log tail` and `tailrace log dump` show. */
import { EntryCursor } from '../change/entry.ts';
import { documentIdOf } from '../change/key.ts';
import { opName } from '../change/operation.ts';
import type { RowSchema } from '../change/schema.ts';
import { jsonOf, type Value } from '../change/value.ts';
import { schemaOfRegister } from '../capture/schema-registry.ts';
import { FrameKind, type Frame, type FrameTransaction, type LogReader } from '../connector/log-store.ts';
import type { RowDecoder, RowFormat } from '../connector/row-format.ts';
import { codeOf } from '../errors/tailrace-error.ts';

/** What can be read of a log, whether it is being written or only looked at. */
export interface ReadableLog {
  readonly firstSeq: number;
  readonly durableSeq: number;
  readonly registers: ReadonlyMap<string, Uint8Array>;
  reader(after: number): LogReader;
}

export interface LogEntriesRequest {
  /** First and last seq wanted; without `last`, to the end. */
  readonly first: number;
  readonly last?: number | undefined;
  /** Goes on as the log grows, until the signal is aborted. */
  readonly follow: boolean;
  /** Shows what the rows hold, not only how many bytes they are. */
  readonly rows: boolean;
}

export interface LogEntriesDeps {
  readonly log: ReadableLog;
  /** By name: `postgres/1`. */
  readonly formats: ReadonlyMap<string, RowFormat>;
  /** As the source's own tools write it. */
  readonly formatPosition: (source: string, position: Uint8Array) => string;
}

/** Lines of JSON with a newline each. Rejects with LOG_GAP, LOG_CORRUPT. */
export async function* logEntries(request: LogEntriesRequest, deps: LogEntriesDeps, signal: AbortSignal): AsyncGenerator<string> {
  const { log } = deps;
  const end = request.last ?? (request.follow ? Infinity : log.durableSeq);
  const first = Math.max(request.first, log.firstSeq);
  if (first > end) return;
  const writer = new EntryWriter(request.rows, deps);
  await using reader = log.reader(first - 1);
  while (!signal.aborted) {
    const frame = request.follow ? await nextUnlessAborted(reader, signal) : await reader.poll();
    if (frame === undefined) return;
    const lines = writer.lines(frame, first, end);
    if (lines !== '') yield lines;
    if (frame.lastSeq >= end) return;
  }
}

async function nextUnlessAborted(reader: LogReader, signal: AbortSignal): Promise<Frame | undefined> {
  try {
    return await reader.next(signal);
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}

class EntryWriter {
  readonly #rows: boolean;
  readonly #deps: LogEntriesDeps;
  readonly #schemas = new Map<number, RowSchema>();
  readonly #decoders = new Map<number, RowDecoder | null>();

  constructor(rows: boolean, deps: LogEntriesDeps) {
    this.#rows = rows;
    this.#deps = deps;
    this.#learn(deps.log.registers);
  }

  lines(frame: Frame, first: number, last: number): string {
    this.#learn(frame.registers);
    const entries = new EntryCursor(frame.entries, frame.firstSeq);
    let lines = '';
    let transaction = -1;
    while (entries.next()) {
      while ((frame.transactions[transaction + 1]?.firstEntry ?? Infinity) <= entries.seq - frame.firstSeq) transaction += 1;
      if (entries.seq >= first && entries.seq <= last) lines += this.#line(frame, entries, frame.transactions[transaction]);
    }
    return lines;
  }

  #learn(registers: Iterable<readonly [string, Uint8Array | null]>): void {
    for (const register of registers) {
      const schema = schemaOfRegister(register);
      if (schema !== undefined) this.#schemas.set(schema.id, schema);
    }
  }

  #line(frame: Frame, entry: EntryCursor, transaction: FrameTransaction | undefined): string {
    const row = entry.row();
    const fields = {
      seq: entry.seq,
      op: opName(entry.op) ?? entry.op,
      source: frame.source,
      table: this.#schemas.get(entry.schemaId)?.table ?? null,
      id: idOf(entry.key()),
      transaction: transaction === undefined ? null : transaction.id.toString(),
      position: transaction === undefined ? null : this.#deps.formatPosition(frame.source, transaction.position),
      commit_time_ms: transaction?.commitTimeMs ?? null,
      snapshot: frame.kind === FrameKind.snapshot ? frame.snapshot : null,
      row_bytes: row.length,
    };
    const text = JSON.stringify(fields);
    return this.#rows && row.length > 0 ? `${text.slice(0, -1)},${this.#rowFields(entry.schemaId, row)}}\n` : `${text}\n`;
  }

  /** The row by column; its bytes when it cannot be read. */
  #rowFields(schemaId: number, row: Buffer): string {
    const schema = this.#schemas.get(schemaId);
    try {
      const values = this.#decoder(schemaId)?.decode(row);
      if (values !== undefined && schema !== undefined) return `"row":{${schema.columns.map(({ name }, i) => `${JSON.stringify(name)}:${jsonOf(values[i] as Value)}`).join(',')}}`;
    } catch (error) {
      // A row that nobody can read is what somebody looks for here.
      if (codeOf(error) === undefined) throw error;
      return `"row_error":${JSON.stringify(codeOf(error))},"row_base64":"${row.toString('base64')}"`;
    }
    return `"row_base64":"${row.toString('base64')}"`;
  }

  #decoder(schemaId: number): RowDecoder | null {
    let decoder = this.#decoders.get(schemaId);
    if (decoder === undefined) {
      const schema = this.#schemas.get(schemaId);
      const format = schema === undefined ? undefined : this.#deps.formats.get(schema.format);
      decoder = schema === undefined || format === undefined ? null : format.decoder(schema, schema.columns.map(({ name }) => name));
      this.#decoders.set(schemaId, decoder);
    }
    return decoder;
  }
}

/** The document id that the key makes; keys of truncates are empty. */
function idOf(key: Uint8Array): string | null {
  return key.length === 0 ? null : documentIdOf(key);
}
