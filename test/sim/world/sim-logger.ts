/** Log lines of simulated processes: they go into the trace, and whoever looks for rare things counts them. */
import type { LogFields, Logger } from '../../../src/runtime/logger.ts';
import type { SimProcess } from '../kernel/sim-process.ts';

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly event: string;
  readonly fields: LogFields;
}

export function simLogger(process: SimProcess, onLine: (line: LogLine) => void, bound: LogFields = {}): Logger {
  const write = (level: LogLine['level']) => (event: string, fields: LogFields = {}) => {
    if (!process.alive) return;
    const all = { ...bound, ...fields };
    process.executor.note(`${process.name} ${level} ${event} ${textOf(all)}`);
    onLine({ level, event, fields: all });
  };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error'), child: (fields) => simLogger(process, onLine, { ...bound, ...fields }) };
}

function textOf(fields: LogFields): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${value instanceof Error ? ('code' in value ? String(value.code) : value.name) : String(value)}`)
    .join(' ');
}
