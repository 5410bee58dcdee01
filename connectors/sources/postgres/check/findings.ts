/** How findings are made: from plain words, and from errors of ours, which carry their code and the statement that mends them. */
import { codeOf, TailraceError } from '../../../../src/errors/tailrace-error.ts';
import type { Finding } from '../../../../src/connector/finding.ts';

export function fine(subject: string, message: string): Finding {
  return { level: 'ok', subject, message };
}

export function warning(subject: string, message: string, fix?: string): Finding {
  return { level: 'warning', subject, message, fix };
}

/** What an error of ours says, as a problem. Anything else is thrown again: it is not a finding about the database. */
export function problemOf(subject: string, error: unknown): Finding {
  const code = codeOf(error);
  if (code === undefined || !(error instanceof TailraceError)) throw error;
  return { level: 'problem', subject, message: error.message, code, fix: error.hint };
}
