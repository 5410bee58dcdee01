/**
 * The one policy: what anything thrown leads to. Pure, total, and narrow on purpose: what is not known stops.
 */
import { catalogue, type Disposition, type ErrorCode } from './catalogue.ts';
import { codeOf, isAbort } from './tailrace-error.ts';

export function dispositionOf(error: unknown): Disposition {
  return catalogue[codeOf(error) ?? 'UNKNOWN'].disposition;
}

/** A pause may mend it; or it ends the process. */
export function mayMendItself(error: unknown): boolean {
  const disposition = dispositionOf(error);
  return disposition === 'exit' || disposition === 'backoff' || disposition === 'pause';
}

/** Exit statuses, documented in docs/cli.md. Service managers should restart on 1, 74 and 75 only. */
export const ExitCode = {
  ok: 0,
  /** The answer of the verb is "no": behind, unequal, not healthy. */
  no: 1,
  usage: 64,
  /** A source or index stopped and waits for a person. */
  stopped: 65,
  invariant: 70,
  io: 74,
  /** What is needed is in use or does not answer now. */
  tryAgain: 75,
  needsRebuild: 76,
  config: 78,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

const exitCodes: Partial<Record<ErrorCode, ExitCode>> = {
  CFG_INVALID: ExitCode.config,
  CFG_UNREADABLE: ExitCode.config,
  CFG_SECRET_MISSING: ExitCode.config,
  CFG_TRANSFORM: ExitCode.config,
  STATE_IDENTITY: ExitCode.config,
  STATE_TOO_NEW: ExitCode.config,
  USAGE: ExitCode.usage,
  NOT_RUNNING: ExitCode.no,
  NOT_BUILT: ExitCode.no,
  TIMED_OUT: ExitCode.no,
  BEHIND: ExitCode.no,
  SRC_SELECTION: ExitCode.usage,
  STATE_FORBIDDEN: ExitCode.config,
  ADMIN_IN_USE: ExitCode.tryAgain,
  LOCK_HELD: ExitCode.tryAgain,
  STATE_CORRUPT: ExitCode.io,
  LOG_CORRUPT: ExitCode.io,
  DISK_FAILED: ExitCode.io,
  DISK_FULL: ExitCode.io,
  SRC_CONN: ExitCode.tryAgain,
  TGT_CONN: ExitCode.tryAgain,
  SRC_HISTORY_LOST: ExitCode.needsRebuild,
  SRC_UNPUBLISHED: ExitCode.needsRebuild,
  SRC_SLOT_AHEAD: ExitCode.needsRebuild,
  SRC_DIVERGED: ExitCode.needsRebuild,
  SRC_IDENTITY_CHANGED: ExitCode.needsRebuild,
  LOG_GAP: ExitCode.needsRebuild,
  LOG_EVICTED: ExitCode.needsRebuild,
  INVARIANT: ExitCode.invariant,
};

/** The process's exit status when this error ends it. */
export function exitCodeOf(error: unknown): ExitCode {
  if (isAbort(error)) return ExitCode.ok;
  const code = codeOf(error);
  if (code === undefined) return ExitCode.invariant;
  return exitCodes[code] ?? ExitCode.stopped;
}
