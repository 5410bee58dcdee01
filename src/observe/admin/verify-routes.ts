/**
 * The route by which an index is verified. The answer is told as lines while it goes on, and goes on for as long as somebody reads them:
 * `{"progress": ...}` each second, `{"difference": ...}` for each that is shown, `{"report": ...}` at the end.
 */
import { TailraceError } from '../../errors/tailrace-error.ts';
import { differenceStatus } from '../../pipeline/verify-status.ts';
import type { RunningVerification, VerifyRequest } from '../../pipeline/verifications.ts';
import type { Extent } from '../../verify/verify.ts';
import type { Scrubber } from '../logging/scrub.ts';
import { endingWithError, required, wholeNumber } from './answers.ts';
import type { Route } from './routes.ts';

const PROGRESS_EVERY_MS = 1_000;

/** Differences that are shown when nothing else is asked for. */
export const SHOWN_DEFAULT = 100;

export const verifyRoutes: Readonly<Record<string, Route>> = {
  '/v1/verify': {
    method: 'POST',
    need: 'command',
    answer: ({ query, signal }, { subject, scrubber, after }) => {
      const stop = new AbortController();
      // Refused at once, if it is.
      const running = subject.verifications.begin(requestOf(query), AbortSignal.any([signal, stop.signal]));
      running.ended.catch(() => {});
      const lines = linesOf(running, wholeNumber(query, 'limit', SHOWN_DEFAULT), { scrubber, stop, after });
      return { status: 200, contentType: 'application/x-ndjson', body: endingWithError(lines, scrubber) };
    },
  },
};

function requestOf(query: URLSearchParams): VerifyRequest {
  const rate = wholeNumber(query, 'rate', 0);
  return {
    index: required(query, 'index'),
    generation: query.has('generation') ? wholeNumber(query, 'generation', 0) : undefined,
    extent: extentOf(query.get('sample')),
    repair: query.get('repair') === '1',
    rowsPerSecond: rate === 0 ? null : rate,
  };
}

/** `5%` of all documents, or a number of rows. Throws USAGE. */
export function extentOf(sample: string | null): Extent {
  if (sample === null) return 'all';
  const [, number, percent] = /^(\d{1,12}(?:\.\d{1,6})?)(%?)$/.exec(sample) ?? [];
  const value = Number(number);
  const isRight = number !== undefined && value > 0 && (percent === '%' ? value <= 100 : Number.isInteger(value));
  if (!isRight) throw new TailraceError('USAGE', { message: 'A sample is a number of rows, or a percentage of them above 0: 100000 or 5%.' });
  return percent === '%' ? { share: value / 100 } : { rows: value };
}

interface LinesDeps {
  readonly scrubber: Scrubber;
  readonly stop: AbortController;
  /** Calls back once after so many milliseconds, unless the function that it returns is called first. */
  readonly after: (ms: number, task: () => void) => () => void;
}

async function* linesOf({ ended, progress }: RunningVerification, limit: number, { scrubber, stop, after }: LinesDeps): AsyncGenerator<string> {
  try {
    for (;;) {
      yield `${JSON.stringify({ progress: scrubber.value(progress()) })}\n`;
      const tick = Promise.withResolvers<null>();
      const cancel = after(PROGRESS_EVERY_MS, () => tick.resolve(null));
      const result = await Promise.race([ended, tick.promise]).finally(cancel);
      if (result === null) continue;
      for (const difference of result.found.slice(0, limit)) yield `${JSON.stringify({ difference: differenceStatus(difference) })}\n`;
      yield `${JSON.stringify({ report: result.report })}\n`;
      return;
    }
  } finally {
    stop.abort();
  }
}
