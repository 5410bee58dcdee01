/** Log lines for eyes: time, level and event on one line, an error below it as sentences. */
import pinoPretty from 'pino-pretty';
import type { ErrorRecord } from './error-record.ts';

/** Turns a JSON line of ours into lines for a terminal. */
export function prettyLines(colour: boolean): (line: string) => string {
  const pretty = pinoPretty.prettyFactory({
    colorize: colour,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,hostname,error',
    singleLine: true,
    messageKey: 'msg',
    errorLikeObjectKeys: [],
  });
  return (line) => `${pretty(line).trimEnd()}\n${errorLines(line)}`;
}

/** A driver's message may hold what would command the terminal. */
const unprintable = /[\p{Cc}\p{Cf}]+/gu;

function errorLines(line: string): string {
  const { error } = JSON.parse(line) as { error?: ErrorRecord };
  if (error === undefined) return '';
  const causes = error.causes.map(({ code, message }) => `because: ${message}${code === undefined ? '' : ` (${code})`}`);
  const lines = [error.message, ...causes, error.did, `→ ${error.hint}`, ...(error.stack?.split('\n').slice(1) ?? [])];
  return lines.map((text) => `    ${text.trim().replaceAll(unprintable, ' ')}\n`).join('');
}
