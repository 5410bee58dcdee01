/** Time. Order never depends on the wall clock; timeouts use the monotonic one only. */

export interface Clock {
  /** Wall clock, milliseconds since 1970-01-01 UTC: for display and for lag against a source's own clock. */
  nowMs(): number;
  /** Milliseconds from an arbitrary start, never going back: for every timeout and rate. */
  monotonicMs(): number;
  /** Resolves after `ms`; rejects with the signal's reason as soon as it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `task` once after `ms`, or never if the returned function is called first. Does not keep the process alive. */
  schedule(ms: number, task: () => void): () => void;
}
