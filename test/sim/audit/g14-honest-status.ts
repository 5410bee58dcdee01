/**
 * G14: "ready" means that nothing older than the limit is missing in any index; and the lag that is shown is the lag there is. An index that lacks
 * nothing is not behind, however long ago its last commit was, and one that lacks something is not shown as nearer than it is.
 */
import type { PipelineStatus } from '../../../src/pipeline/status.ts';
import type { Findings } from './findings.ts';

/** How long ago the oldest change was committed that an index lacks, by index; null when it lacks none. */
export type OldestMissing = ReadonlyMap<string, number | null>;

export interface StatusLimits {
  /** What may be missing in an index that is called ready. */
  readonly readyMs: number;
  /** How far the lag may be from what is true: between two looks at the source's head, and on the way. */
  readonly lagMs: number;
}

export class StatusAuditor {
  readonly #findings: Findings;
  readonly #limits: StatusLimits;
  /** Since when an index lacks nothing, serves, and its source streams, by index. */
  readonly #wellSinceMs = new Map<string, number>();

  constructor(findings: Findings, limits: StatusLimits) {
    this.#findings = findings;
    this.#limits = limits;
  }

  /** To be called again and again. `nowMs` never goes back. */
  look(status: PipelineStatus, oldestMissing: OldestMissing, nowMs: number): void {
    for (const index of status.indices) {
      const missing = oldestMissing.get(index.name) ?? null;
      if (status.ready) this.#findings.expect('G14', missing === null || missing <= this.#limits.readyMs, () => `the status says ready, and ${index.name} lacks a change that was committed ${missing} ms ago`);
      this.#auditLag(index, missing, status.sources.every(({ phase }) => phase === 'streaming'), nowMs);
    }
  }

  /** A daemon began, or what it is told by its servers is of no use. */
  forget(): void {
    this.#wellSinceMs.clear();
  }

  #auditLag({ name, phase, lag_seconds: lagSeconds }: PipelineStatus['indices'][number], missing: number | null, streams: boolean, nowMs: number): void {
    const { lagMs } = this.#limits;
    const shownMs = lagSeconds === null ? null : lagSeconds * 1000;
    if (missing !== null) this.#findings.expect('G14', shownMs === null || shownMs >= missing - lagMs, () => `${name} lacks a change that was committed ${missing} ms ago, and is shown as ${shownMs} ms behind`);
    if (missing !== null || phase !== 'serving' || !streams) {
      this.#wellSinceMs.delete(name);
      return;
    }
    const sinceMs = this.#wellSinceMs.get(name) ?? nowMs;
    this.#wellSinceMs.set(name, sinceMs);
    if (nowMs - sinceMs < lagMs) return;
    this.#findings.expect('G14', shownMs !== null && shownMs <= lagMs, () => `${name} has lacked nothing for ${Math.round(nowMs - sinceMs)} ms, and is shown as ${shownMs === null ? 'an unknown time' : `${shownMs} ms`} behind`);
  }
}
