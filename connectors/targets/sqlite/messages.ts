/** What the main thread and the database threads say to each other: one request at a time, each with one answer. */
import type { Finding } from '../../../src/connector/finding.ts';
import type { FieldPlan, GenerationListing, GenerationPlan, SearchHit, SearchRequest, StoredDocument } from '../../../src/connector/target.ts';
import type { Seq } from '../../../src/change/seq.ts';
import type { ErrorCode } from '../../../src/errors/catalogue.ts';
import type { TextOptions } from './text.ts';
import type { WalLimits } from './wal.ts';
import type { ViewsFound } from './views.ts';

/** What a thread is started with. The writer owns the file; readers and scanners have read-only connections, so that none waits for another. */
export interface ThreadStart {
  readonly role: 'writer' | 'reader' | 'scanner';
  readonly path: string;
  readonly walLimits: WalLimits;
  /** How long a request waits for a lock of another program before it fails with TGT_BLOCKED. */
  readonly lockWaitMs: number;
}

/** A batch as columns: cheap to copy from thread to thread. `documents[i]` is null for a delete. */
export interface PackedBatch {
  readonly ids: readonly string[];
  readonly versions: BigInt64Array<ArrayBuffer>;
  readonly documents: readonly (string | null)[];
  readonly clearBelow: bigint | undefined;
  readonly forgetBelow: bigint | undefined;
  readonly cursor: Seq;
}

export const Outcome = { applied: 0, stale: 1, poison: 2 } as const;

export interface Poison {
  readonly at: number;
  readonly code: ErrorCode;
  readonly reason: string;
}

export interface BatchResult {
  /** One `Outcome` per operation. */
  readonly outcomes: Uint8Array<ArrayBuffer>;
  readonly poison: readonly Poison[];
}

/** Documents as columns, in the order of the ids that were asked for: `documents[i]` is null where there is none. */
export interface PackedDocuments {
  readonly documents: readonly (string | null)[];
  readonly versions: BigInt64Array<ArrayBuffer>;
}

export interface GenerationState {
  readonly cursor: Seq | null;
  readonly documents: number;
  /** Size of the file, when this generation is the only one in it. */
  readonly bytes: number | null;
}

/** `uid` names a generation for as long as the file lives, whichever thread asks. */
export interface Exchanges {
  open: { request: { readonly plan: GenerationPlan; readonly text: TextOptions }; reply: { readonly uid: string } };
  apply: { request: { readonly uid: string; readonly batch: PackedBatch }; reply: BatchResult };
  /** Removes up to a thousand documents behind `after`; `next` is where to go on, or null at the end. */
  sweep: { request: { readonly uid: string; readonly version: bigint; readonly after: number }; reply: { readonly removed: number; readonly next: number | null } };
  prepare: { request: { readonly uid: string; readonly fields: readonly FieldPlan[] }; reply: null };
  /** Removes these documents and what is remembered of them. */
  remove: { request: { readonly uid: string; readonly ids: readonly string[] }; reply: null };
  /** The next documents in the order of rowids, all as they stood at the first request of this thread; none at the end. */
  scan: { request: { readonly uid: string }; reply: StoredDocument[] };
  /** The same of ids alone. */
  ids: { request: { readonly uid: string }; reply: string[] };
  /** Documents of a generation, whether readers see it or not. */
  documents: { request: { readonly uid: string; readonly ids: readonly string[] }; reply: PackedDocuments };
  promote: { request: { readonly uid: string }; reply: null };
  seen: { request: { readonly uid: string }; reply: ViewsFound };
  drop: { request: { readonly index: string; readonly generation: number }; reply: null };
  state: { request: { readonly uid: string }; reply: GenerationState };
  search: { request: SearchRequest; reply: SearchHit[] };
  fetch: { request: { readonly index: string; readonly ids: readonly string[] }; reply: (StoredDocument | null)[] };
  generations: { request: null; reply: GenerationListing[] };
  check: { request: null; reply: Finding[] };
  close: { request: null; reply: null };
}

export type Kind = keyof Exchanges;

export type Request = { readonly [K in Kind]: { readonly kind: K; readonly body: Exchanges[K]['request'] } }[Kind];

/** The main thread no longer wants the answer to the request in flight: it need not wait for a lock any longer. */
export interface Cancel {
  readonly kind: 'cancel';
}

/** An error on its way between threads, where classes and causes do not survive. */
export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
  readonly did: string;
  readonly entity: string | undefined;
  /** The stack of what it came from, for `--debug`. */
  readonly cause: string | undefined;
}

export type Answer = { readonly reply: unknown } | { readonly failure: Failure };

export type Handlers<K extends Kind> = { readonly [P in K]: (body: Exchanges[P]['request']) => Exchanges[P]['reply'] };
