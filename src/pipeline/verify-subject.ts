/** A generation that is fed, as verification looks at it. */
import type { Seq } from '../change/seq.ts';
import type { LogStore } from '../connector/log-store.ts';
import type { TargetGeneration } from '../connector/target.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { StateStore } from '../state/state-store.ts';
import type { Applied, VerifySubject } from '../verify/subject.ts';
import type { GenerationRunner } from './generation-runner.ts';
import type { SourceRunner } from './source-runner.ts';

/** While something has yet to be applied, or to be opened, it is looked at this often. */
const POLL_MS = 5;

export interface SubjectDeps {
  readonly runner: GenerationRunner;
  readonly source: Pick<SourceRunner, 'connected'>;
  readonly log: LogStore;
  readonly state: StateStore;
  readonly runtime: Runtime;
}

/** Throws USAGE for a generation that is not built, and the error of one that is not fed. */
export function verifySubject({ runner, source, log, state, runtime }: SubjectDeps): VerifySubject {
  const { feed, record, name } = runner;
  const { index, generation, startSeq } = record;
  if (feed === null) throw runner.error;
  if (record.phase === 'building') throw new TailraceError('USAGE', { message: `Generation ${generation} of index ${index} is not built yet: there is nothing to compare.`, did: 'Nothing was looked at.', hint: 'See `tailrace status`.', entity: index });
  const throwIfGone = (): void => {
    if (runner.condition === 'stopped' && runner.error instanceof Error) throw runner.error;
    if (runner.condition === 'stopped') throw new TailraceError('UNKNOWN', { message: `Generation ${generation} of index ${index} has stopped.`, entity: index });
    if (runner.record.phase === 'dropping') throw new TailraceError('USAGE', { message: `Generation ${generation} of index ${index} is being removed.`, did: 'Nothing more was looked at.', hint: 'See `tailrace generations list`.', entity: index });
  };
  /** What `look` sees, as soon as it sees something. */
  const soon = async <T>(look: () => T | null, signal: AbortSignal): Promise<T> => {
    for (;;) {
      signal.throwIfAborted();
      throwIfGone();
      const seen = look();
      if (seen !== null) return seen;
      await runtime.clock.sleep(POLL_MS, signal);
    }
  };
  return {
    ...feed,
    index,
    generation,
    name,
    startSeq,
    log,
    state,
    runtime,
    connection: async (signal) => source.connected(signal),
    applied: async (seq: Seq, signal: AbortSignal): Promise<Applied> =>
      soon(() => {
        const { settled } = runner.applied;
        return settled !== null && settled >= seq ? { cursor: settled } : null;
      }, signal),
    opened: async (signal: AbortSignal): Promise<TargetGeneration> => soon(() => runner.opened, signal),
  };
}
