/**
 * The engine's log lines, through pino: one JSON object a line, or the same for eyes. `msg` is the constant name of the event; errors are
 * records of the catalogue; secrets are scrubbed from every text before pino sees it.
 */
import pino from 'pino';
import type { Clock } from '../../runtime/clock.ts';
import type { LogFields, Logger } from '../../runtime/logger.ts';
import { errorRecord } from './error-record.ts';
import { Folding } from './folding.ts';
import { prettyLines } from './pretty.ts';
import { Scrubber } from './scrub.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface LoggerOptions {
  readonly level: LogLevel;
  readonly format: 'json' | 'pretty';
  /** With `format: pretty`. */
  readonly colour: boolean;
  /** Adds stack traces to errors. */
  readonly debug: boolean;
  readonly scrubber: Scrubber;
  readonly clock: Clock;
  /** Takes whole lines, newline included, and writes them before it returns. */
  readonly write: (line: string) => void;
}

export interface ProcessLogger extends Logger {
  /** Writes what is held back by folding. */
  flush(): void;
}

export function createLogger(options: LoggerOptions): ProcessLogger {
  const { level, format, colour, clock, write } = options;
  const lines = format === 'pretty' ? prettyLines(colour) : (line: string): string => line;
  const sink = pino(
    {
      level,
      base: null,
      messageKey: 'msg',
      timestamp: () => `,"time":${clock.nowMs()}`,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line: string) => write(lines(line)) },
  );
  const folding = new Folding(clock);
  const logger = new PinoLogger({ sink, folding, options, bound: {} });
  return Object.assign(logger, { flush: () => folding.flush() });
}

interface PinoLoggerDeps {
  readonly sink: pino.Logger;
  readonly folding: Folding;
  readonly options: LoggerOptions;
  readonly bound: LogFields;
}

class PinoLogger implements Logger {
  readonly #deps: PinoLoggerDeps;

  constructor(deps: PinoLoggerDeps) {
    this.#deps = deps;
  }

  debug(event: string, fields: LogFields = {}): void {
    this.#log('debug', event, fields);
  }

  info(event: string, fields: LogFields = {}): void {
    this.#log('info', event, fields);
  }

  warn(event: string, fields: LogFields = {}): void {
    this.#log('warn', event, fields);
  }

  error(event: string, fields: LogFields = {}): void {
    this.#log('error', event, fields);
  }

  child(fields: LogFields): Logger {
    return new PinoLogger({ ...this.#deps, bound: { ...this.#deps.bound, ...fields } });
  }

  #log(level: LogLevel, event: string, fields: LogFields): void {
    const { sink, folding, bound } = this.#deps;
    if (!sink.isLevelEnabled(level)) return;
    const plain = this.#plain({ ...bound, ...fields });
    const write = (repeated: number): void => sink[level](repeated === 0 ? plain : { ...plain, repeated }, event);
    if (level === 'debug' || level === 'info') write(0);
    else folding.add({ kind: kindOf(event, plain), write });
  }

  #plain({ error, ...fields }: LogFields): LogFields {
    const { scrubber, debug } = this.#deps.options;
    const plain = scrubber.value(fields) as LogFields;
    if (error === undefined || error === null) return plain;
    const record = errorRecord(error, { scrubber, stack: debug, source: plain.source });
    return { ...plain, code: plain.code ?? record.code, error: record };
  }
}

/** Lines of one kind differ in what they measure, not in what they are about. */
function kindOf(event: string, { code, source, target, index, table }: LogFields): string {
  return JSON.stringify([event, code, source, target, index, table]);
}
