/** G11: every change that an index read is applied, superseded, filtered or dead-lettered; the counters add up. */
import type { IndexStatus } from '../../../src/pipeline/status.ts';
import type { Findings } from './findings.ts';

/** To be called when nothing is in flight. */
export function auditAccounting(findings: Findings, { name, counters }: IndexStatus): void {
  const { read, applied, stale, superseded, filtered, dead_lettered } = counters;
  const sum = applied + stale + superseded + filtered + dead_lettered;
  findings.expect('G11', read === sum, () => `${name} read ${read} changes; ${applied} applied, ${stale} stale, ${superseded} superseded, ${filtered} filtered and ${dead_lettered} dead letters make ${sum}`);
}
