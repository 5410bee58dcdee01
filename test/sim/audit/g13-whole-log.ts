/** G13: when all is over, the log on the disk is whole from its first segment to its last, as `tailrace log verify` sees it. */
import { verifyLog } from '../../../src/log/verify.ts';
import type { Runtime } from '../../../src/runtime/runtime.ts';
import type { Findings } from './findings.ts';

/** To be called when no process lives. */
export async function auditWholeLog(findings: Findings, directory: string, runtime: Runtime): Promise<void> {
  const seen = await Array.fromAsync(verifyLog(directory, runtime));
  findings.expect('G13', seen.length > 0, () => 'there is no segment of the log to be verified');
  for (const { level, subject, message } of seen) findings.expect('G13', level === 'ok', () => `${level} of ${subject} in the log that was left: ${message}`);
}
