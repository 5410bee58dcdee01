/** Verifies one generation of an index: compares it with its table, mends what differs where that is asked for, and looks at what was mended again. */
import { Comparison } from './comparison.ts';
import { Differences, type Difference, type DifferenceKind } from './difference.ts';
import { builderOf } from './expected-rows.ts';
import { Look, LOOK_AT_ONCE } from './look.ts';
import { Pace } from './pace.ts';
import { Patience } from './patience.ts';
import type { VerifyOutcome, VerifyProgress } from './progress.ts';
import { repair } from './repair.ts';
import { estimatedRows, type VerifySubject } from './subject.ts';

/** How often what does not take is mended. */
const REPAIRS_MAX = 2;

/** How much is compared: everything, a share of all ids, or about so many rows. */
export type Extent = 'all' | { readonly share: number } | { readonly rows: number };

export interface VerifyOptions {
  readonly extent: Extent;
  readonly repair: boolean;
  /** Rows of the source that are read in a second at most; null for as many as can be. */
  readonly rowsPerSecond: number | null;
}

export interface Verified extends VerifyOutcome {
  /** Null when nothing was to be mended. */
  readonly repair: {
    /** Differences that are none any more. */
    readonly repaired: number;
    readonly remaining: readonly Difference[];
    readonly kinds: Readonly<Partial<Record<DifferenceKind, number>>>;
    /** Differences that were not kept one by one, so that nothing was done for them. */
    readonly untried: number;
    /** Documents that cannot be mended one by one: their rows have no key that they can be asked for by. */
    readonly beyond: number;
  } | null;
}

export function newProgress(): VerifyProgress {
  return { phase: 'comparing', rows: 0, estimatedRows: null, documents: 0, differences: 0, parked: 0, trouble: null };
}

/** The generation is what its table says, as far as it was looked at, and now. */
export function isEqual({ differences, unsettled, repair: mended }: Pick<Verified, 'differences' | 'unsettled' | 'repair'>): boolean {
  if (unsettled > 0) return false;
  return mended === null ? differences === 0 : mended.remaining.length === 0 && mended.untried === 0;
}

/** Rejects with the signal's reason, and with what waiting does not mend. */
export async function verify(subject: VerifySubject, { extent, repair: isRepair, rowsPerSecond }: VerifyOptions, progress: VerifyProgress, signal: AbortSignal): Promise<Verified> {
  const documents = builderOf(subject);
  const share = await shareOf(subject, extent, progress, signal);
  const pace = new Pace(rowsPerSecond, subject.runtime.clock);
  const outcome = await new Comparison(subject, documents, { share, pace, isSummedUp: share === 1 && rowsPerSecond === null, progress }).run(signal);
  if (!isRepair || outcome.differences === 0) return { ...outcome, repair: null };
  progress.phase = 'repairing';
  const look = new Look({ subject, documents });
  const patience = new Patience(subject.runtime, progress);
  const untried = outcome.differences - outcome.found.length;
  let remaining: readonly Difference[] = outcome.found;
  let unsettled = 0;
  let beyond = 0;
  for (let attempt = 1; attempt <= REPAIRS_MAX && remaining.length > 0; attempt += 1) {
    const tried = remaining;
    beyond = (await patience.with(async () => repair(subject, tried, signal), signal)).beyond.length;
    const left = new Differences();
    unsettled = 0;
    for (let from = 0; from < tried.length; from += LOOK_AT_ONCE) {
      const ids = tried.slice(from, from + LOOK_AT_ONCE).map(({ id }) => id);
      const looked = await patience.with(async () => look.at(ids, outcome.fromSeq, signal), signal);
      for (const difference of looked.differences) left.add(difference);
      unsettled += looked.unsettled.length;
    }
    remaining = left.kept;
  }
  const left = new Differences();
  for (const difference of remaining) left.add(difference);
  return { ...outcome, unsettled: outcome.unsettled + unsettled, repair: { repaired: outcome.found.length - remaining.length - unsettled, remaining, kinds: left.counts, untried, beyond } };
}

/** What there is to be told of how much is wanted: the source's estimate, or how many documents the target has. */
async function shareOf(subject: VerifySubject, extent: Extent, progress: VerifyProgress, signal: AbortSignal): Promise<number> {
  if (extent === 'all') return 1;
  if ('share' in extent) return Math.min(1, extent.share);
  const patience = new Patience(subject.runtime, progress);
  const total = await patience.with(async () => {
    const connection = await subject.connection(signal);
    const estimated = estimatedRows(subject, connection);
    const { documents } = await (await subject.opened(signal)).stats();
    return Math.max(estimated ?? 0, documents);
  }, signal);
  return total <= extent.rows ? 1 : extent.rows / total;
}
