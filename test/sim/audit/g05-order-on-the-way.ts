/**
 * G5, on the way: what could overtake something is not sent beside it. No key is in two batches at once; what empties an index, and what follows from
 * the end of a snapshot, goes alone. A target that answers quickly hides that nobody saw to it.
 */
import type { Batch } from '../../../src/connector/target.ts';
import type { Findings } from './findings.ts';

export class OrderAuditor {
  readonly #findings: Findings;
  /** Batches that were sent and that their sender still waits for, by sender. */
  readonly #open = new Map<string, Set<Batch>>();

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  /** `sender`: a generation as one process has it open. */
  sent(sender: string, batch: Batch): void {
    const others = this.#of(sender);
    for (const other of others) {
      const ids = new Set(other.operations.map(({ id }) => id));
      const twice = batch.operations.find(({ id }) => ids.has(id));
      this.#findings.expect('G5', twice === undefined, () => `${sender}: ${twice?.id} is in two batches that are on their way at once, up to ${other.cursor} and up to ${batch.cursor}`);
      this.#findings.expect('G5', batch.clearBelow === undefined && other.clearBelow === undefined, () => `${sender}: a batch that empties the index is on its way beside another, up to ${batch.cursor} and up to ${other.cursor}`);
    }
    others.add(batch);
  }

  /** Its sender has the answer, or waits for it no longer. */
  ended(sender: string, batch: Batch): void {
    this.#of(sender).delete(batch);
  }

  /** Older documents are about to be removed, because a snapshot did not find them. */
  sweeping(sender: string): void {
    const [other] = this.#of(sender);
    this.#findings.expect('G5', other === undefined, () => `${sender}: is swept at the end of a snapshot while a batch from before is on its way, up to ${other?.cursor}`);
  }

  #of(sender: string): Set<Batch> {
    let open = this.#open.get(sender);
    if (open === undefined) {
      open = new Set();
      this.#open.set(sender, open);
    }
    return open;
  }
}
