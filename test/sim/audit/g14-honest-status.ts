/** G14: "ready" means that nothing older than the limit is missing in any index. */
import type { PipelineStatus } from '../../../src/pipeline/status.ts';
import type { Findings } from './findings.ts';

/** `oldestMissingMs`: how long ago the oldest change was committed that an index lacks, by index; null when it lacks none. */
export function auditStatus(findings: Findings, status: PipelineStatus, oldestMissingMs: ReadonlyMap<string, number | null>, limitMs: number): void {
  if (!status.ready) return;
  for (const { name } of status.indices) {
    const missing = oldestMissingMs.get(name) ?? null;
    findings.expect('G14', missing === null || missing <= limitMs, () => `the status says ready, and ${name} lacks a change that was committed ${missing} ms ago`);
  }
}
