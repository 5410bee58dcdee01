/** G12: memory, queues and the log are bounded by what the config says. */
import type { PipelineStatus } from '../../../src/pipeline/status.ts';
import type { Findings } from './findings.ts';

export interface Bounds {
  readonly bufferedBytes: number;
  /** What may come on top: a frame in the making, the piece of the network that is being taken in, chunks that are being read. */
  readonly slackBytes: number;
  readonly logBytes: number;
  readonly logSlackBytes: number;
}

export function auditBounds(findings: Findings, status: PipelineStatus, bounds: Bounds): void {
  for (const { name, in_flight_bytes } of status.sources) {
    findings.expect('G12', in_flight_bytes <= bounds.bufferedBytes + bounds.slackBytes, () => `${name} holds ${in_flight_bytes} bytes of ${bounds.bufferedBytes} allowed`);
  }
  findings.expect('G12', status.log.bytes <= bounds.logBytes + bounds.logSlackBytes, () => `the log has ${status.log.bytes} bytes of ${bounds.logBytes} allowed`);
}
