/** What a preflight check found. `fix` is the exact statement or command that mends it. */
import type { ErrorCode } from '../errors/catalogue.ts';

export interface Finding {
  readonly level: 'ok' | 'warning' | 'problem';
  /** What was looked at: `wal_level`, `table public.products`. */
  readonly subject: string;
  readonly message: string;
  readonly code?: ErrorCode | undefined;
  readonly fix?: string | undefined;
}
