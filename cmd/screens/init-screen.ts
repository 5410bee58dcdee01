/** `tailrace init` for people and for programs: what was proposed, what stands in the way of the other tables, what to type next. */
import { resolve } from 'node:path';
import type { Finding } from '../../src/connector/finding.ts';
import type { Proposal } from '../../src/config/proposal.ts';
import { CONFIG_FILE_DEFAULT } from '../options.ts';
import { withOptionsOf } from '../terminal/given-options.ts';
import { printable } from '../terminal/printable.ts';
import { table, type Paint } from '../terminal/table.ts';
import { count, counted } from '../terminal/units.ts';
import { findingLines } from './findings.ts';

/** A secret that the config takes from the environment, and what it is. */
export interface NeededVariable {
  readonly name: string;
  readonly what: string;
}

export interface InitReport {
  /** Path of the file; null when nothing was written, because there would be no index in it. */
  readonly written: string | null;
  readonly source: { readonly name: string; readonly type: string; readonly database: string };
  /** Null for the embedded one. */
  readonly target: { readonly name: string; readonly type: string } | null;
  readonly environment: readonly NeededVariable[];
  readonly proposal: Proposal;
  readonly others: readonly string[];
}

export function initJson({ proposal, ...report }: InitReport): string {
  const indices = proposal.indices.map(({ index, schema, table: name, key, estimatedRows, textFields, leftOut, warnings }) => ({ index, table: `${schema}.${name}`, key, estimated_rows: estimatedRows, text_fields: textFields, left_out: leftOut, warnings }));
  const unfit = proposal.unfit.map(({ index, schema, table: name, problems }) => ({ index, table: `${schema}.${name}`, problems }));
  return `${JSON.stringify({ ...report, indices, unfit })}\n`;
}

export function initScreen(report: InitReport, paint: Paint): string[] {
  const { written, source, proposal, others } = report;
  const { indices, unfit } = proposal;
  const besides = others.length === 0 ? [] : [`Left alone, because nothing tells of their changes: ${others.join(', ')}.`];
  const none = `${paint('red', 'Nothing was written')}: no table of ${printable(source.database)} can be indexed as it is.`;
  const head = written === null ? none : `${paint('green', 'Wrote')} ${written}: ${counted(indices.length, 'index', 'indices')} from ${printable(source.database)}.`;
  return [head, ...indexLines(proposal, paint), ...unfit.flatMap(({ problems }) => problems).flatMap((finding: Finding) => findingLines(finding, paint)), ...besides, ...nextLines(report, paint)];
}

function indexLines({ indices }: Proposal, paint: Paint): string[] {
  if (indices.length === 0) return [''];
  const rows = indices.map(({ index, schema, table: name, key, estimatedRows, textFields, leftOut }) => [
    index,
    printable(`${schema}.${name}`),
    estimatedRows === null ? '?' : count(estimatedRows),
    key.length === 0 ? 'the whole row' : printable(key.join(', ')),
    textFields.length === 0 ? '-' : printable(textFields.join(', ')),
    leftOut.length === 0 ? '-' : printable(leftOut.map(({ column }) => column).join(', ')),
  ]);
  const columns = [{ title: 'index' }, { title: 'table' }, { title: 'rows', align: 'right' as const }, { title: 'key' }, { title: 'searched' }, { title: 'left out' }];
  return ['', ...table(columns, rows, paint), '', ...indices.flatMap(({ warnings }) => warnings.flatMap((finding) => findingLines(finding, paint)))];
}

function nextLines({ written, environment }: InitReport, paint: Paint): string[] {
  const complete = withOptionsOf(written === null || resolve(written) === resolve(CONFIG_FILE_DEFAULT) ? [] : ['--config', written]);
  if (written === null) return ['Run the statements, then `tailrace init` again.'];
  const next: [string, string][] = [
    ...environment.map(({ name, what }): [string, string] => [`export ${name}=...`, what]),
    ['tailrace schema > tailrace.schema.json', 'so that editors complete and check the file'],
    [complete('tailrace check'), 'see what is missing at both ends, with the statements that mend it'],
    [complete('tailrace run'), 'take the first snapshots, then follow every change'],
  ];
  const width = Math.max(...next.map(([command]) => command.length));
  return ['', paint('dim', 'NEXT'), ...next.map(([command, why]) => `${paint('cyan', command.padEnd(width))}  ${why}`)];
}
