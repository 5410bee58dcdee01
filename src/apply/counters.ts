/**
 * What became of every change that an index read: the promise G11 in numbers. A batch is counted when it is done, so that always
 * `read = applied + stale + superseded + filtered + dead_lettered`.
 */
export interface ApplyCounters {
  read: number;
  applied: number;
  /** The target had the same version or a newer one already. */
  stale: number;
  /** A later change of the same key came in the same batch. */
  superseded: number;
  /** The row does not belong to the index (`where`, or the transform returned null); its document is deleted. */
  filtered: number;
  dead_lettered: number;
  batches: number;
  document_bytes: number;
}

export function newCounters(): ApplyCounters {
  return { read: 0, applied: 0, stale: 0, superseded: 0, filtered: 0, dead_lettered: 0, batches: 0, document_bytes: 0 };
}
