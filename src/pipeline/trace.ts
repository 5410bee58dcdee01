/**
 * The life of one document: its changes in the log that is kept, what became of each at the index, and what the target holds now. Nothing is
 * changed. It is read from the data directory and the target, beside a daemon or without one, so that a long look costs the daemon nothing.
 */
import { isUtf8 } from 'node:buffer';
import { snapshotsIn } from '../capture/snapshot-state.ts';
import { decodeKey, keyOfDocumentId } from '../change/key.ts';
import { Op, opName } from '../change/operation.ts';
import { keyColumns, type RowSchema } from '../change/schema.ts';
import { seqOf, versionOf, type Seq } from '../change/seq.ts';
import { schemaOfRegister } from '../capture/schema-registry.ts';
import type { IndexDefinition } from '../config/index-settings.ts';
import type { RowFormat } from '../connector/row-format.ts';
import type { GenerationListing, StoredDocument, Target } from '../connector/target.ts';
import { createDocumentBuilder } from '../document/builder.ts';
import type { DocumentTransform } from '../document/transform.ts';
import { codeOf, TailraceError } from '../errors/tailrace-error.ts';
import type { ReadOnlyLog } from '../log/read-only.ts';
import { generationName, type DeadLetter, type GenerationRecord, type StateStore } from '../state/state-store.ts';
import { decisive, outcomesOf, type Made, type Outcome, type OutcomeScene } from './change-outcome.ts';
import { targetOf } from './generations.ts';
import { statusError } from './pipeline-status.ts';
import { rowAt, rowChanges, type OnLooked, type RowChange } from './row-changes.ts';
import type { StatusError } from './status.ts';
import { unseenAt } from './unseen.ts';

/** A document has one letter at most in each generation. */
const LETTERS_MAX = 1_000;

export interface TraceRequest {
  readonly definition: IndexDefinition;
  /** Document id. */
  readonly id: string;
  /** Changes before this seq are not looked for. */
  readonly first: Seq;
  /** Most changes that are told of: the newest. */
  readonly limit: number;
}

export interface TraceDeps {
  readonly log: ReadOnlyLog;
  readonly state: StateStore;
  /** By name: `postgres/1`. */
  readonly formats: ReadonlyMap<string, RowFormat>;
  readonly transform: DocumentTransform | undefined;
  readonly formatPosition: (source: string, position: Uint8Array) => string;
}

/** What the target says of a document and of the index that it is in. */
export interface Held {
  /** The generation that readers see; null when there is none, or nobody knows. */
  readonly generation: number | null;
  /** As `GenerationListing.cursor`. */
  readonly cursor: Seq | null;
  /** All generations of the index that the target has; null when it could not be asked. */
  readonly listed: readonly GenerationListing[] | null;
  /** Undefined when the target could not be asked. */
  readonly document: StoredDocument | null | undefined;
  readonly error: unknown;
}

export interface TracedChange {
  readonly seq: number;
  readonly op: string;
  /** The row went on under another key, or came from one. */
  readonly key_changed: boolean;
  /** An int63, so as text. */
  readonly version: string;
  readonly frame: 'stream' | 'snapshot';
  readonly snapshot: number | null;
  readonly transaction: string | null;
  readonly position: string | null;
  readonly commit_time_ms: number | null;
  readonly row_bytes: number;
  readonly outcome: Outcome;
}

export interface TracedLetter {
  readonly generation: number;
  readonly seq: number;
  readonly code: string;
  readonly reason: string;
  readonly parked_at_ms: number;
}

export interface TraceReport {
  readonly index: string;
  readonly id: string;
  readonly source: string;
  readonly table: string;
  /** The key's columns with their values as the source writes them; null where the row is known by a digest only. */
  readonly key: readonly { readonly column: string; readonly value: string | null }[] | null;
  /** The generation that readers see, or else the newest; null when none was begun. */
  readonly generation: number | null;
  readonly cursor: number | null;
  /** Why the target could not be asked. */
  readonly error: StatusError | null;
  /** Why readers find no document at all, as the target said. */
  readonly unseen: StatusError | null;
  /** Oldest first. */
  readonly changes: readonly TracedChange[];
  readonly dead_letters: readonly TracedLetter[];
  readonly log: { readonly epoch: number; readonly first_seq: number; readonly last_seq: number; /** Changes from here on were looked at. */ readonly read_from_seq: number };
  /** What the target holds; `document` is JSON text. `as_built`: the newest change makes this very text; null where that cannot be told. */
  readonly stored: { readonly version: string; readonly epoch: number; readonly seq: number; readonly as_built: boolean | null; readonly document: string } | null;
}

/** Asks the target. Whatever it answers, an error too, is in what is returned; only an aborted `signal` rejects. */
export async function heldBy(target: Target, index: string, id: string, signal: AbortSignal): Promise<Held> {
  try {
    const listed = (await target.generations(signal)).filter((listing) => listing.index === index);
    const promoted = listed.find((listing) => listing.promoted);
    const [document = null] = promoted === undefined ? [] : await target.fetch(index, [id], signal);
    return { generation: promoted?.generation ?? null, cursor: promoted?.cursor ?? null, listed, document, error: null };
  } catch (error) {
    signal.throwIfAborted();
    // The log's side is told all the same.
    return { generation: null, cursor: null, listed: null, document: undefined, error };
  }
}

/**
 * The target is asked before the log is read, so that nothing that it holds is missing in the log. Errors: USAGE for an id that no row of the
 * table can have, and those of the log and of the state.
 */
export async function traceDocument(request: TraceRequest, found: Held, deps: TraceDeps, signal: AbortSignal, onLooked?: OnLooked): Promise<TraceReport> {
  const { definition, id } = request;
  const { source, table } = definition.from;
  const { log, state } = deps;
  const unseen = unseenIn(state, found, definition);
  const held: Held = unseen === null ? found : { ...found, document: undefined };
  const key = keyOfDocumentId(id);
  if (key === null) throw new TailraceError('USAGE', { message: `${JSON.stringify(id)} is no id that a document can have.`, hint: 'Parts of a key are joined by `:`; inside a part `%` is written as %25 and `:` as %3A.' });
  await log.refresh();
  const { changes, readFrom, readTo } = await rowChanges({ source, table, key, first: request.first, limit: request.limit }, log, signal, onLooked);
  const record = recordOf(state, definition.name, held);
  const letters = state.someDeadLetters({ index: definition.name, id, limit: LETTERS_MAX });
  const scene = sceneOf(deps, record, held, letters, definition);
  const deciding = record === undefined ? undefined : decisive(changes, scene);
  const built = deciding === undefined ? unknownMade : await documentOf(deciding, definition, record, deps);
  const outcomes = outcomesOf(changes, scene, built.made);
  const { document } = held;
  const isOfDeciding = document !== null && document !== undefined && deciding !== undefined && document.version === versionOf(log.epoch, deciding.seq);
  return {
    index: definition.name,
    id,
    source,
    table,
    key: namedKey(key, tableSchema(log, source, table)),
    generation: record?.generation ?? null,
    cursor: scene.cursor,
    error: statusError(held.error, source),
    unseen: statusError(unseen, source),
    changes: changes.map((change, i) => tracedChange(change, outcomes[i] as Outcome, source, deps)),
    dead_letters: letters.map(({ generation, seq, code, reason, parkedAtMs }) => ({ generation, seq, code, reason, parked_at_ms: parkedAtMs })),
    log: { epoch: log.epoch, first_seq: log.firstSeq, last_seq: readTo, read_from_seq: readFrom },
    stored: document === null || document === undefined ? null : { version: String(document.version), epoch: Number(document.version >> 48n), seq: seqOf(document.version), as_built: isOfDeciding && built.json !== null ? built.json === document.document : null, document: document.document },
  };
}

/** Readers find nothing at the target, although a generation serves. */
function unseenIn(state: StateStore, { generation, listed }: Held, { name, to }: IndexDefinition): unknown {
  // What was promoted when the target was asked may have been replaced since.
  if (listed === null || generation !== null) return null;
  return unseenAt(state.generations().filter((record) => record.index === name && targetOf(record, to, () => true) === to), listed, to);
}

function recordOf(state: StateStore, index: string, { generation }: Held): GenerationRecord | undefined {
  const records = state.generations().filter((record) => record.index === index);
  return records.find((record) => record.generation === generation) ?? records.findLast(({ phase }) => phase === 'serving') ?? records.at(-1);
}

function sceneOf({ log, state }: TraceDeps, record: GenerationRecord | undefined, held: Held, letters: readonly DeadLetter[], { name, from }: IndexDefinition): OutcomeScene {
  const stored = record === undefined ? null : state.cursor(name, record.generation);
  // What was rewound begins where the state store says, whatever its target has applied.
  const known = held.cursor ?? stored;
  const cursor = record === undefined || held.error !== null ? null : Math.min(known ?? record.startSeq, stored ?? Infinity);
  return {
    epoch: log.epoch,
    startSeq: record?.startSeq ?? 0,
    generation: record === undefined ? '' : generationName(name, record.generation),
    cursor,
    storedVersion: held.document === undefined ? undefined : (held.document?.version ?? null),
    parked: new Set(letters.filter(({ generation }) => generation === record?.generation).map(({ seq }) => seq)),
    snapshots: snapshotsIn(log.registers).filter((snapshot) => snapshot.source === from.source && snapshot.table === from.table),
  };
}

interface MadeDocument {
  readonly made: Made;
  /** The document's text, where it is known. */
  readonly json: string | null;
}

const unknownMade: MadeDocument = { made: 'unknown', json: null };

/** The document that the change's row makes by the definition that the generation is built by; `configured` stands in where that was not kept. */
async function documentOf(change: RowChange, configured: IndexDefinition, record: GenerationRecord | undefined, { log, formats, transform }: TraceDeps): Promise<MadeDocument> {
  if (change.op === Op.delete || change.op === Op.truncate) return { made: 'nothing', json: null };
  const begun = record === undefined || record.definition === '' ? configured : (JSON.parse(record.definition) as IndexDefinition);
  const definition = { ...begun, max_document_bytes: configured.max_document_bytes };
  // The module is that of the config, which may have come or gone since.
  if ((definition.transform === undefined) !== (transform === undefined)) return unknownMade;
  const found = await rowAt(log, change.seq);
  const format = formats.get(found?.schema?.format ?? '');
  if (found?.schema === undefined || format === undefined) return unknownMade;
  try {
    const builder = createDocumentBuilder(definition, { format, transform });
    if (builder.fingerprint !== record?.fingerprint) return unknownMade;
    const built = builder.forSchema(found.schema).build(found.row);
    return built.kind === 'document' ? { made: 'document', json: built.json } : { made: 'nothing', json: null };
  } catch (error) {
    // A row that makes no document now made none for the index either, or one that cannot be told any more.
    if (codeOf(error) === undefined) throw error;
    return unknownMade;
  }
}

/** The table as the log last knew it. */
function tableSchema(log: ReadOnlyLog, source: string, table: string): RowSchema | undefined {
  const schemas = [...log.registers].flatMap((register) => schemaOfRegister(register) ?? []);
  return schemas.filter((schema) => schema.source === source && schema.table === table).toSorted((a, b) => a.id - b.id).at(-1);
}

function namedKey(key: Buffer, schema: RowSchema | undefined): TraceReport['key'] {
  if (schema === undefined) return null;
  const columns = keyColumns(schema);
  const parts = decodeKey(key);
  // A key that is too long, or all of a row, is a digest: one part that is no text.
  if (columns.length !== parts.length || parts.some((part) => part !== null && !isUtf8(part))) return null;
  return columns.map(({ name }, i) => ({ column: name, value: parts[i] == null ? null : Buffer.from(parts[i]).toString() }));
}

function tracedChange(change: RowChange, outcome: Outcome, source: string, { log, formatPosition }: TraceDeps): TracedChange {
  const { seq, op, keyChanged, snapshot, transaction, rowBytes } = change;
  return {
    seq,
    op: opName(op) ?? String(op),
    key_changed: keyChanged,
    version: String(versionOf(log.epoch, seq)),
    frame: snapshot === null ? 'stream' : 'snapshot',
    snapshot,
    transaction: transaction === null ? null : String(transaction.id),
    position: transaction === null ? null : formatPosition(source, transaction.position),
    commit_time_ms: transaction?.commitTimeMs ?? null,
    row_bytes: rowBytes,
    outcome,
  };
}
