/** What the tests of the target contract stand on: a storage to connect to, and short words for batches and for looking at the result. */
import { expect } from 'vitest';
import type { Batch, FieldPlan, GenerationPlan, IndexOptions, Operation, StoredDocument, Target, TargetGeneration } from '../../src/connector/target.ts';
import type { TargetModel } from './target-history.ts';

/** One storage (a file, a server, a namespace on it) and the ways to it. */
export interface TargetFixture extends AsyncDisposable {
  /** Connects to the storage; after the target was disposed of, connecting again finds what was there. */
  connect(): Promise<Target>;
  /** A put that the target refuses for good; without it, tests of refused documents are left out. */
  readonly poison?: ((id: string, version: bigint) => Operation) | undefined;
  /** A put that the target wants again later; without it, tests of operations that are put off are left out. */
  readonly putOff?: ((id: string, version: bigint) => Operation) | undefined;
  /** Ids with more bytes than this are refused for good; without it, ids are of any length. */
  readonly idBytesMax?: number | undefined;
  /** A field, and the same one of a kind that a generation which has it cannot take; without it, fields may change as they like. */
  readonly changedField?: { readonly before: FieldPlan; readonly after: FieldPlan } | undefined;
  /** How another process connects: a module that exports `connect(argument)`, and how many processes are killed. Without it none is. */
  readonly process?: { readonly module: string; readonly argument: string; readonly kills?: number } | undefined;
  /** The storage's own check of itself; throws when something in it does not fit together. */
  readonly inspect?: (() => Promise<void>) | undefined;
}

/** A target whose readers see writes late (a refresh, say) is given this long. */
const VISIBLE_WITHIN_MS = 10_000;

export const { signal } = new AbortController();

/** Every field that documents of these tests have without being prepared first. */
const fields: readonly FieldPlan[] = [
  { name: 'id', kind: 'text' },
  { name: 'seq', kind: 'int' },
  { name: 'n', kind: 'int' },
  { name: 'text', kind: 'text' },
  { name: 'tags', kind: 'array' },
  { name: 'exact', kind: 'decimal' },
  { name: 'later', kind: 'boolean' },
];

export interface PlanDetails {
  readonly generation?: number;
  readonly isBuilding?: boolean;
  /** Beside those that every plan has. */
  readonly fields?: readonly FieldPlan[];
  readonly options?: IndexOptions;
}

export function planOf(name: string, details: number | PlanDetails = {}): GenerationPlan {
  const { generation = 1, isBuilding = false, fields: more = [], options = {} } = typeof details === 'number' ? { generation: details } : details;
  return { index: name, generation, binding: { logId: 'log-1', epoch: 3, fingerprint: 'f-1' }, fields: [...fields, ...more], isBuilding, options };
}

export const put = (id: string, version: bigint, document: Readonly<Record<string, unknown>> = {}): Operation => ({ kind: 'put', id, version, document: JSON.stringify({ id, ...document }) });
export const del = (id: string, version: bigint): Operation => ({ kind: 'delete', id, version });
export const batchOf = (cursor: number, ...operations: readonly Operation[]): Batch => ({ operations, cursor });

export async function outcomes(generation: TargetGeneration, batch: Batch): Promise<string[]> {
  return (await generation.apply(batch, signal)).map(({ outcome }) => outcome);
}

export async function versions(target: Target, index: string, ids: readonly string[]): Promise<(bigint | null)[]> {
  return (await target.fetch(index, ids, signal)).map((held) => held?.version ?? null);
}

/** Everything that a scan shows, in the order of ids; an id that it shows twice stands there twice. */
export async function scanned(generation: TargetGeneration): Promise<StoredDocument[]> {
  const pages = await Array.fromAsync(generation.scan(signal));
  return pages.flat().toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

export async function expectModel(target: Target, index: string, ids: readonly string[], model: TargetModel): Promise<void> {
  const held = await target.fetch(index, ids, signal);
  const normal = (documents: readonly (Pick<StoredDocument, 'version' | 'document'> | null)[]): unknown[] => documents.map((one, i) => [ids[i], one === null ? null : [one.version, JSON.parse(one.document) as unknown]]);
  expect(normal(held)).toEqual(normal(model.documents(ids)));
}

export async function eventually(check: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + VISIBLE_WITHIN_MS;
  for (;;) {
    try {
      await check();
      return;
    } catch (error) {
      // Not yet; the last word is the check's own.
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** The kit hands each test a storage of its own and an open, promoted generation of the index `things`. */
export interface Bench {
  readonly fixture: TargetFixture;
  readonly target: Target;
  readonly generation: TargetGeneration;
}

export type Run = (body: (bench: Bench) => Promise<void>) => () => Promise<void>;

/** The index that every test has. */
export const index = 'things';
