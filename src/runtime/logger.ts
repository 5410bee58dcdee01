/**
 * Log lines: `event` is a constant lower-case name, fields say what it is about. Row values and secrets never go in.
 */

export interface LogFields {
  readonly source?: string;
  readonly target?: string;
  readonly index?: string;
  readonly table?: string;
  readonly seq?: number;
  readonly position?: string;
  readonly code?: string;
  readonly error?: unknown;
  readonly [name: string]: unknown;
}

export interface Logger {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  child(fields: LogFields): Logger;
}

/** A logger that says nothing: for tests and for the library's users who want none. */
export const silentLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLogger,
};
