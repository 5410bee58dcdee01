/** An error as the command line prints it: what happened, what tailrace did, what to type now, the code. */
import { codeOf } from '../../src/errors/tailrace-error.ts';
import { errorRecord, type ErrorRecord } from '../../src/observe/logging/error-record.ts';
import { Scrubber } from '../../src/observe/logging/scrub.ts';
import { inText, withOptionsOf } from './given-options.ts';
import { printableLines } from './printable.ts';
import type { Paint } from './table.ts';

export interface ErrorTextOptions {
  readonly debug: boolean;
  /** What was typed after `tailrace`: commands in the hint are completed with it. */
  readonly args: readonly string[];
  readonly paint: Paint;
}

/** Lines for people. */
export function errorLines(error: unknown, { debug, args, paint }: ErrorTextOptions): string[] {
  const record = recordOf(error, debug, args);
  const causes = debug ? record.causes.flatMap(({ code, message }) => printableLines(`  because: ${message}${code === undefined ? '' : ` (${code})`}`)) : [];
  // The message, which may have several lines, comes before the places.
  const stack = printableLines(record.stack ?? '').filter((line) => /^\s+at /.test(line));
  const code = codeOf(error) === undefined ? 'UNKNOWN' : `${record.code}: docs/errors.md#${record.code.toLowerCase()}`;
  const [first = '', ...more] = printableLines(record.message);
  const [hint = '', ...moreHint] = printableLines(record.hint);
  return [`${paint('red', 'tailrace:')} ${first}`, ...more, ...causes, `  ${record.did}`, `  ${paint('cyan', '→')} ${hint}`, ...moreHint.map((line) => `    ${line}`), paint('dim', `  ${code}`), ...stack.map((line) => paint('dim', line))];
}

/** The same for programs: one line of JSON. */
export function errorJson(error: unknown, { debug, args }: Omit<ErrorTextOptions, 'paint'>): string {
  return JSON.stringify({ error: recordOf(error, debug, args) });
}

/** What has no code of ours is a defect: it was not foreseen anywhere. Secrets that were declared are gone by now, others go by their form. */
function recordOf(error: unknown, debug: boolean, args: readonly string[]): ErrorRecord {
  const record = errorRecord(error, { scrubber: new Scrubber(), stack: debug });
  if (codeOf(error) !== undefined) return { ...record, hint: inText(record.hint, withOptionsOf(args)) };
  return { ...record, message: `An error that tailrace does not know: ${record.message}`, did: 'tailrace ended.', hint: debug ? 'Report this with the lines below.' : 'Run it again with `--debug` and report what it prints.' };
}
