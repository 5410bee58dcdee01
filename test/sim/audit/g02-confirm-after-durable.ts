/** G2: the position confirmed to the source never passes what is durable in the log. */
import type { Findings } from './findings.ts';

export function auditConfirm(findings: Findings, source: string, confirmed: number, durable: number): void {
  findings.expect('G2', confirmed <= durable, () => `${source} was told that everything up to ${confirmed} is durable; it is up to ${durable}`);
}
