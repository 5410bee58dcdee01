/** What it means that the work of a daemon ended with an error. */
import { isAbort, TailraceError } from '../../src/errors/tailrace-error.ts';

/** The error to end the process with. Being told to stop is no error; an end that nobody asked for is one, even when it calls itself a stop. */
export function endOf(error: unknown, toldToStop: boolean): unknown {
  if (!isAbort(error) || toldToStop) return error;
  return new TailraceError('INVARIANT', { message: 'The work was ended, and nobody had asked for that.', cause: error });
}
