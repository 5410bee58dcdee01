/** What every bench shares: medians, a process measured from outside, and one way to print. */
import { readFileSync } from 'node:fs';

/** Clock ticks per second of /proc (USER_HZ), 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  const lower = sorted[middle - 1];
  if (upper === undefined) return Number.NaN;
  return sorted.length % 2 === 1 || lower === undefined ? upper : (upper + lower) / 2;
}

export function percentile(values: readonly number[], fraction: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? Number.NaN;
}

/** CPU seconds, user and system, that a process has used so far (Linux only). */
export function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Resident memory of a process in bytes (Linux only). */
export function residentBytesOf(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return match === null ? Number.NaN : Number(match[1]) * 1024;
}

export interface BenchRow {
  readonly what: string;
  readonly value: string;
  readonly ceiling?: string | undefined;
  readonly ratio?: number | undefined;
  readonly bar?: string | undefined;
}

/** Prints figures as a table that can stand in docs/performance.md as it is. */
export function printRows(title: string, rows: readonly BenchRow[]): void {
  console.log(`\n### ${title}\n\n| what | measured | ceiling in the same run | ratio | bar |\n|---|---|---|---|---|`);
  for (const { what, value, ceiling = '', ratio, bar = '' } of rows) console.log(`| ${what} | ${value} | ${ceiling} | ${ratio === undefined ? '' : ratio.toFixed(2)} | ${bar} |`);
}

export function perSecond(count: number, seconds: number): string {
  return `${Math.round(count / seconds).toLocaleString('en')}/s`;
}
