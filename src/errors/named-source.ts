/** Hints say `--rebuild SOURCE` where they are written; who reads them gets the name of the source, and a command that can be typed as it stands. */
import { codeOf, TailraceError } from './tailrace-error.ts';

const PLACEHOLDER = '--rebuild SOURCE';

/** The hint for an error of this source, or of an index that is made from it; as it is when the source is not known. */
export function hintFor(hint: string, source: string | undefined): string {
  return source === undefined ? hint : hint.replaceAll(PLACEHOLDER, `--rebuild ${source}`);
}

/** The same error with such a hint; what is none of ours, or says nothing of the kind, is handed back as it is. */
export function namingSource(error: unknown, source: string): unknown {
  const code = codeOf(error);
  if (code === undefined || !(error instanceof Error) || !('hint' in error) || typeof error.hint !== 'string' || !error.hint.includes(PLACEHOLDER)) return error;
  const { message, cause, stack } = error;
  const did = 'did' in error && typeof error.did === 'string' ? error.did : undefined;
  const entity = 'entity' in error && typeof error.entity === 'string' ? error.entity : undefined;
  const named = new TailraceError(code, { message, did, hint: hintFor(error.hint, source), entity, cause });
  if (stack !== undefined) named.stack = stack;
  return named;
}
