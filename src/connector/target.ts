/**
 * What a target connector implements. A generation is one physical build of an index; readers use the index's own name.
 *
 * Contract: an operation wins only over a lower version of the same id, deletes included and remembered; a delete wins over a document of
 * its own version, too. Applying any batch again changes nothing; results stand at the place of their operation.
 */
import type { ColumnKind, ColumnSchema } from '../change/schema.ts';
import type { Seq } from '../change/seq.ts';
import type { ErrorCode } from '../errors/catalogue.ts';
import type { TailraceError } from '../errors/tailrace-error.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Finding } from './finding.ts';

export interface FieldPlan {
  readonly name: string;
  readonly kind: ColumnKind;
  /** As in `ColumnSchema`: what is in the innermost lists of an array. Left out where nobody knows. */
  readonly element?: ColumnSchema['element'];
  /**
   * Whether full-text search looks into the field. Either every field of a plan says so or none does: where the config names the fields to
   * search, search looks into those, of whatever kind they are, and into nothing else; where it names none, the target decides by the kind.
   */
  readonly searched?: boolean | undefined;
  /** A transform stands between: documents may lack the field, or have it otherwise. */
  readonly isLikely?: true | undefined;
}

/** What a generation is bound to. A target refuses (TGT_IDENTITY) to open one for other values. */
export interface GenerationBinding {
  readonly logId: string;
  readonly epoch: number;
  /** Hash of everything in the config that decides what documents look like. */
  readonly fingerprint: string;
}

export interface GenerationPlan {
  readonly index: string;
  readonly generation: number;
  readonly binding: GenerationBinding;
  /** Fields that are known beforehand. Documents may have others: what a transform adds is seen only in its documents. */
  readonly fields: readonly FieldPlan[];
  /** Readers do not see it yet, and will not before `promote`: until then the target may be set up for loading instead of for searching. */
  readonly isBuilding: boolean;
  /** `mapping` and `settings` of the index in the config, as `TargetConnector.indexSchema` gave them back. */
  readonly options: IndexOptions;
}

/** What the config says about an index to its target; what it means is the target's own affair. */
export interface IndexOptions {
  /** How fields are kept, by field. */
  readonly mapping?: Readonly<Record<string, unknown>> | undefined;
  /** How the index as a whole is kept. */
  readonly settings?: Readonly<Record<string, unknown>> | undefined;
}

export type Operation =
  | { readonly kind: 'put'; readonly id: string; readonly version: bigint; /** JSON text of the whole document. */ readonly document: string }
  | { readonly kind: 'delete'; readonly id: string; readonly version: bigint };

export interface Batch {
  /** At most one operation per id. */
  readonly operations: readonly Operation[];
  /** Before the operations: every document with a version below this is removed (a table was truncated). */
  readonly clearBelow?: bigint | undefined;
  /** No replay can reach below this version any more: remembered deletes below it may be forgotten. */
  readonly forgetBelow?: bigint | undefined;
  /**
   * Everything up to here is applied when the batch is. Targets with `atomicCursor` store it in the same transaction, if every operation was
   * applied or stale: with a single one refused or put off the cursor stays where it was, although the others take effect. The caller sees
   * to those, and the next batch moves the cursor, be it empty. It never moves back.
   */
  readonly cursor: Seq;
}

export type ItemResult =
  | { readonly outcome: 'applied' }
  /** The target already has this version or a newer one: success. */
  | { readonly outcome: 'stale' }
  /** `reason`: in few words and without values of the row, for the status. */
  | { readonly outcome: 'retry'; readonly afterMs?: number; readonly reason?: string }
  /** Refused for good. */
  | { readonly outcome: 'poison'; readonly code: ErrorCode; readonly reason: string };

/**
 * What readers find under an index's name, seen from one of its generations: that one and nothing else; nothing; another generation of the index. Or else, as the error to show
 * (TGT_IDENTITY, TGT_SCHEMA, with the way out): something that is not the target's to take away, or nothing by which they and the next opening could tell that it is this one.
 */
export type Seen = 'this' | 'nothing' | 'another' | TailraceError;

/** A document as the target holds it. */
export interface StoredDocument {
  readonly id: string;
  readonly version: bigint;
  /** JSON text. */
  readonly document: string;
}

export interface TargetGeneration extends AsyncDisposable {
  /**
   * Names the storage that the generation lives in, with its past: a generation that was made anew, or put back to an earlier time, has another
   * one, and a cursor that the engine keeps for it means nothing any more. Empty where the target keeps the cursor itself (`atomicCursor`).
   */
  readonly incarnation: string;
  /** The seq up to which everything was applied, or null when the target does not keep it (see `atomicCursor`) or is new. */
  cursor(): Promise<Seq | null>;
  /** One result per operation, in order. Rejects with TGT_CONN, TGT_BLOCKED, ... when the batch as a whole could not be applied. */
  apply(batch: Batch, signal: AbortSignal): Promise<ItemResult[]>;
  /**
   * Makes room for fields; called before the first batch whose documents have them. Fields that it has already cost nothing. Rejects with
   * TGT_MAPPING when the generation cannot take one as it is: then another generation is built.
   */
  prepare(fields: readonly FieldPlan[], signal: AbortSignal): Promise<void>;
  /**
   * Every document as it stood when the first page was asked for, in pages, in no order, whatever is applied meanwhile. All that was applied
   * before is in it.
   */
  scan(signal: AbortSignal): AsyncIterable<readonly StoredDocument[]>;
  /** The same of ids alone, which costs less. */
  ids(signal: AbortSignal): AsyncIterable<readonly string[]>;
  /**
   * Documents of this generation, whether readers see it or not, in the order asked for; null for one that is not there. All that was applied
   * before is in it. What lies there in the place of a document comes as it is, be it no JSON.
   */
  fetch(ids: readonly string[], signal: AbortSignal): Promise<(StoredDocument | null)[]>;
  /**
   * Removes documents whatever their version is, and forgets it: for the repair of what tailrace did not write. Afterwards any version of them
   * may be put.
   */
  remove(ids: readonly string[], signal: AbortSignal): Promise<void>;
  /** Removes every document with a version below `version`; resolves to how many documents went. */
  sweep(version: bigint, signal: AbortSignal): Promise<number>;
  /**
   * Readers see this generation from now on, and no other: there is no moment at which they see none or two. Everything applied before is
   * searchable. Done again it changes nothing.
   */
  promote(signal: AbortSignal): Promise<void>;
  /** What readers find at this moment; nothing is changed. Rejects as `apply` does where the generation is not there any more, or is not what was opened. */
  seen(signal: AbortSignal): Promise<Seen>;
  stats(): Promise<TargetStats>;
}

/** A generation as a target holds it, whoever fed it. */
export interface GenerationListing {
  readonly index: string;
  readonly generation: number;
  /** Readers of the index see it. */
  readonly promoted: boolean;
  /** As `TargetGeneration.cursor` says. */
  readonly cursor: Seq | null;
  readonly documents: number;
}

export interface TargetStats {
  readonly documents: number;
  readonly bytes: number | null;
}

export interface SearchRequest {
  readonly index: string;
  readonly text: string;
  readonly limit: number;
}

export interface SearchHit {
  readonly id: string;
  readonly score: number;
  /** JSON text. */
  readonly document: string;
}

export interface Target extends AsyncDisposable {
  readonly name: string;
  readonly capabilities: {
    /** The cursor is stored in the same transaction as the documents; batches are then applied one after the other. */
    readonly atomicCursor: boolean;
  };
  check(signal: AbortSignal): Promise<Finding[]>;
  /** Opens a generation, making it if it is not there. */
  open(plan: GenerationPlan, signal: AbortSignal): Promise<TargetGeneration>;
  /**
   * All generations that the target holds, by index and number. Nothing is written and nothing is made, not even the target's own storage when
   * it is not there yet; another process may be writing meanwhile.
   */
  generations(signal: AbortSignal): Promise<GenerationListing[]>;
  /**
   * Removes a generation with everything in it; of one that is not there nothing is left to do. Work on one that is open ends with TGT_IDENTITY,
   * and its number, opened again, is new and empty. Refuses the generation that readers see (INVARIANT): whoever
   * asks for that has mistaken it for another.
   */
  drop(index: string, generation: number, signal: AbortSignal): Promise<void>;
  search(request: SearchRequest, signal: AbortSignal): Promise<SearchHit[]>;
  /** Documents by id, in the order asked for; null for one that is not there. */
  fetch(index: string, ids: readonly string[], signal: AbortSignal): Promise<(StoredDocument | null)[]>;
}

export interface TargetContext {
  readonly name: string;
  readonly runtime: Runtime;
  /** The pipeline's data directory, for targets that keep files beside it. */
  readonly dataDirectory: string;
}
