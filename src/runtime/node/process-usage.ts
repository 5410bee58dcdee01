/** The real process's use of memory, processor and event loop. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { ReadProcessUsage } from '../process-usage.ts';

const DELAY_RESOLUTION_MS = 20;

/** Begins to watch the event loop; each reading ends one period of it. */
export function watchProcessUsage(): ReadProcessUsage {
  const delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS });
  delay.enable();
  return () => {
    const { rss, heapUsed, external } = process.memoryUsage();
    const { user, system } = process.cpuUsage();
    // Before the first timer has fired there is no percentile.
    const p99 = delay.count === 0 ? 0 : delay.percentile(99) / 1e9;
    delay.reset();
    return { residentBytes: rss, heapUsedBytes: heapUsed, externalBytes: external, cpuSeconds: (user + system) / 1e6, eventLoopDelaySeconds: Math.max(0, p99 - DELAY_RESOLUTION_MS / 1000) };
  };
}
