import { expect, test } from 'vitest';
import type { GenerationListing } from '../../src/connector/target.ts';
import { unseenAt } from '../../src/pipeline/unseen.ts';
import type { GenerationPhase, GenerationRecord } from '../../src/state/state-store.ts';

const record = (generation: number, phase: GenerationPhase): GenerationRecord => ({ index: 'items', generation, phase, startSeq: 0, fingerprint: '', definition: '', incarnation: '', reason: 'new', wholeSeq: 0, held: false, abandoned: false, createdAtMs: 0, retiredAtMs: null });
const listed = (generation: number, promoted: boolean): GenerationListing => ({ index: 'items', generation, promoted, cursor: null, documents: 0 });

test.each<[string, readonly GenerationRecord[], readonly GenerationListing[], string | null]>([
  ['nothing, where readers find what serves', [record(1, 'retired'), record(2, 'serving')], [listed(1, false), listed(2, true)], null],
  ['nothing, before anything serves', [record(1, 'building')], [], null],
  ['nothing, while a swap is half done', [record(1, 'serving'), record(2, 'ready')], [listed(1, false), listed(2, true)], null],
  ['that they find another generation', [record(1, 'retired'), record(2, 'serving')], [listed(1, true), listed(2, false)], 'TGT_IDENTITY'],
  ['that they find nothing', [record(1, 'serving')], [listed(1, false)], 'TGT_IDENTITY'],
  ['that it is gone, be there others', [record(1, 'retired'), record(2, 'serving')], [listed(1, false)], 'TGT_MISSING'],
  ['that it is gone, where other indices have one of its number', [record(1, 'serving')], [{ ...listed(1, true), index: 'others' }], 'TGT_MISSING'],
])('of an index is said %s', (_, records, generations, expected) => {
  expect(unseenAt(records, generations, 'memory')?.code ?? null).toBe(expected);
});
