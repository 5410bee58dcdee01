/** A deadline for what a server answers at once when it is there: TCP tells neither of a network that swallows bytes nor of a server that stands still. */
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import type { Clock } from '../../../../src/runtime/clock.ts';

interface AnswerDeps {
  readonly clock: Clock;
  /** Name of the source, for the message. */
  readonly source: string;
}

/** The answer, or a rejection with SRC_CONN when it has not come by then; the caller closes the connection. */
export async function answerWithin<T>(answer: Promise<T>, withinMs: number, { clock, source }: AnswerDeps): Promise<T> {
  const expired = Promise.withResolvers<never>();
  const cancel = clock.schedule(withinMs, () => expired.reject(new TailraceError('SRC_CONN', { message: `Source ${source}: the server did not answer within ${withinMs / 1000} s.`, entity: source })));
  try {
    return await Promise.race([answer, expired.promise]);
  } finally {
    cancel();
  }
}
