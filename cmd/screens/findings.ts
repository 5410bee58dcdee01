/** What a check found, with the statement that mends it on lines of its own, ready to be copied. */
import type { Finding } from '../../src/connector/finding.ts';
import { typedText } from '../terminal/given-options.ts';
import { printableLines } from '../terminal/printable.ts';
import type { Colour, Paint } from '../terminal/table.ts';

const marks: Readonly<Record<Finding['level'], readonly [Colour, string]>> = { ok: ['green', 'ok'], warning: ['yellow', '! '], problem: ['red', '✗ '] };

export function findingLines({ level, subject, message, code, fix }: Finding, paint: Paint): string[] {
  const [first = '', ...rest] = printableLines(`${subject}: ${message}${code === undefined ? '' : ` (${code})`}`);
  const mends = fix === undefined ? [] : printableLines(typedText(fix)).map((line) => `       ${paint('cyan', line)}`);
  return [`  ${paint(...marks[level])} ${first}`, ...rest.map((line) => `     ${line}`), ...mends];
}
