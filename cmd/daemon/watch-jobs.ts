/** Shows how far jobs are until they have ended, or wait for a person: bars on a terminal, a line now and then elsewhere. Whoever stops watching stops nothing. */
import type { JobReport } from '../../src/observe/reports.ts';
import type { JobStatus } from '../../src/pipeline/status.ts';
import type { StatusReport } from '../../src/observe/status-report.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { nodeClock } from '../../src/runtime/node/clock.ts';
import { jobItem } from '../screens/job-screen.ts';
import { standardError } from '../terminal/output.ts';
import { ProgressBars, ProgressMeter, progressText } from '../terminal/progress.ts';
import { askDaemon } from './admin-client.ts';

const LOOK_EVERY_MS = 500;
const LINES_EVERY_MS = 5_000;

/** How watching came to its end. */
export interface Watched {
  readonly ended: readonly JobReport[];
  /** Those that only go on when a person has done something. */
  readonly stopped: readonly JobStatus[];
}

/** Rejects with NOT_RUNNING when the daemon ends before the jobs. */
export async function watchJobs(socketPath: string, ids: readonly number[], signal: AbortSignal): Promise<Watched> {
  const bars = standardError.isTerminal ? new ProgressBars(standardError, process.stderr) : null;
  const meter = new ProgressMeter();
  let nextLineMs = nodeClock.monotonicMs();
  try {
    for (;;) {
      const ended = await endedJobs(socketPath, ids);
      const { jobs } = await ask<StatusReport>(socketPath, '/v1/status');
      const going = jobs.filter(({ id }) => ids.includes(id) && ended.every((one) => one.id !== id));
      const stopped = going.filter(({ stage }) => stage === 'stopped');
      if (ended.length + stopped.length >= ids.length) return { ended, stopped };
      const nowMs = nodeClock.monotonicMs();
      const items = meter.measure(going.map(jobItem), nowMs);
      bars?.show(items);
      if (bars === null && nowMs >= nextLineMs) {
        standardError.lines(items.map((item) => `${item.label}: ${progressText(item)}`));
        nextLineMs = nowMs + LINES_EVERY_MS;
      }
      await nodeClock.sleep(LOOK_EVERY_MS, signal);
    }
  } finally {
    bars?.clear();
  }
}

async function endedJobs(socketPath: string, ids: readonly number[]): Promise<JobReport[]> {
  const { jobs } = await ask<{ readonly jobs: readonly JobReport[] }>(socketPath, '/v1/jobs');
  return jobs.filter(({ id, phase }) => ids.includes(id) && phase !== 'running');
}

async function ask<T>(socketPath: string, path: string): Promise<T> {
  try {
    return JSON.parse(await askDaemon(socketPath, { path })) as T;
  } catch (error) {
    if (!(error instanceof TailraceError) || error.code !== 'NOT_RUNNING') throw error;
    throw new TailraceError('NOT_RUNNING', { message: 'The daemon has ended.', did: 'What was begun goes on when it runs again.', cause: error });
  }
}
