/** A generation's record, for tests that care about a part of it only. */
import type { GenerationRecord } from '../../src/state/state-store.ts';

export function recordOf(more: Partial<GenerationRecord> = {}): GenerationRecord {
  return {
    index: 'products',
    generation: 1,
    phase: 'building',
    startSeq: 0,
    fingerprint: 'f',
    definition: '',
    incarnation: '',
    reason: 'new',
    wholeSeq: null,
    held: false,
    abandoned: false,
    createdAtMs: 1_000,
    retiredAtMs: null,
    ...more,
  };
}
