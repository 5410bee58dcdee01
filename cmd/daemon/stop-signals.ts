/** When a daemon is to stop: the first SIGTERM, SIGINT or SIGHUP asks it to, the second ends it at once, and a stop that takes too long is given up. */
import { ExitCode } from '../../src/errors/policy.ts';
import { nodeClock } from '../../src/runtime/node/clock.ts';

const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
type StopSignal = (typeof signals)[number];

/** What a shell gives for a process that a signal ended: 128 and the signal's number. */
const signalExits: Readonly<Record<StopSignal, number>> = { SIGTERM: 143, SIGINT: 130, SIGHUP: 129 };

export interface StopOptions {
  /** How long a stop may take. */
  readonly withinMs: number;
  /** Called once, with the reason: a signal's name, or what `request` was given. */
  readonly onStop: (reason: string) => void;
  /** Called right before the process is ended in the middle of a stop. */
  readonly onGivenUp: (reason: string) => void;
}

export interface Stop extends Disposable {
  /** Aborted when the daemon is to stop. */
  readonly signal: AbortSignal;
  request(reason: string): void;
}

export function listenForStop({ withinMs, onStop, onGivenUp }: StopOptions): Stop {
  const stop = new AbortController();
  let cancelDeadline = (): void => {};
  const end = (reason: string, status: number): never => {
    onGivenUp(reason);
    process.exit(status);
  };
  const request = (reason: string): void => {
    if (stop.signal.aborted) return;
    onStop(reason);
    cancelDeadline = nodeClock.schedule(withinMs, () => end('deadline', ExitCode.no));
    stop.abort();
  };
  const onSignal = (signal: StopSignal): void => {
    if (stop.signal.aborted) end(signal, signalExits[signal]);
    request(signal);
  };
  for (const signal of signals) process.on(signal, onSignal);
  return {
    signal: stop.signal,
    request,
    [Symbol.dispose]: () => {
      cancelDeadline();
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
}
