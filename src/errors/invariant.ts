/** Assertions that stay on in production. A broken one means a defect, and ends the process before it can spread. */
import { TailraceError } from './tailrace-error.ts';

export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new TailraceError('INVARIANT', { message: `A rule of tailrace's own was broken: ${message}.` });
}
