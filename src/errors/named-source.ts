/**
 * Hints say `--rebuild SOURCE` and `resync INDEX` where they are written; who reads them gets the name of the source or the index, and a command that
 * can be typed as it stands.
 */
import { codeOf, TailraceError } from './tailrace-error.ts';

const PLACEHOLDER = '--rebuild SOURCE';
const INDEX_PLACEHOLDER = 'resync INDEX';

/** The hint for an error of this source, or of an index that is made from it; as it is when the source is not known. */
export function hintFor(hint: string, source: string | undefined): string {
  return source === undefined ? hint : hint.replaceAll(PLACEHOLDER, `--rebuild ${source}`);
}

/** The same error with such a hint; what is none of ours, or says nothing of the kind, is handed back as it is. */
export function namingSource(error: unknown, source: string): unknown {
  return rehinted(error, (hint) => hintFor(hint, source));
}

/** The same for an error of this index. */
export function namingIndex(error: unknown, index: string): unknown {
  return rehinted(error, (hint) => hint.replaceAll(INDEX_PLACEHOLDER, `resync ${index}`));
}

function rehinted(error: unknown, change: (hint: string) => string): unknown {
  const code = codeOf(error);
  if (code === undefined || !(error instanceof Error) || !('hint' in error) || typeof error.hint !== 'string') return error;
  const hint = change(error.hint);
  if (hint === error.hint) return error;
  const { message, cause, stack } = error;
  const did = 'did' in error && typeof error.did === 'string' ? error.did : undefined;
  const entity = 'entity' in error && typeof error.entity === 'string' ? error.entity : undefined;
  const named = new TailraceError(code, { message, did, hint, entity, cause });
  if (stack !== undefined) named.stack = stack;
  return named;
}
