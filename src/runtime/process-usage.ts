/** What this process uses of its machine. */

export interface ProcessUsage {
  readonly residentBytes: number;
  readonly heapUsedBytes: number;
  /** Buffers: most of what a change-data-capture process holds is not in the heap. */
  readonly externalBytes: number;
  /** Of all threads, since the start of the process. */
  readonly cpuSeconds: number;
  /** 99th percentile of how late timers fire, since the last look. */
  readonly eventLoopDelaySeconds: number;
}

export type ReadProcessUsage = () => ProcessUsage;
