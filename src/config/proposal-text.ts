/** A proposal as the text of a config: short, with what a person wants to know of each table in a comment above it. */
import { quoteTableReference } from './names.ts';
import type { Proposal, ProposedIndex, UnfitTable } from './proposal.ts';

/** One end of the pipeline as it is written: settings by name, values as they stand in the file. */
export interface ProposedEnd {
  readonly name: string;
  readonly settings: Readonly<Record<string, string>>;
}

export interface ConfigText {
  readonly source: ProposedEnd;
  /** Null for the embedded target, which a config need not name. */
  readonly target: ProposedEnd | null;
  readonly proposal: Proposal;
}

/** Longest line that has all settings of an index. */
const LINE_CHARS_MAX = 140;

/** Tables that cannot be indexed as they are and that the file tells of; whoever wrote it was told of all. */
const UNFIT_MAX = 20;

export function configText({ source, target, proposal: { indices, unfit } }: ConfigText): string {
  const lines = [
    '# yaml-language-server: $schema=./tailrace.schema.json',
    '# Proposed by `tailrace init`. `tailrace check` says what is missing at both ends, docs/config.md has every setting.',
    'sources:',
    `  ${scalar(source.name)}: ${flow(source.settings)}`,
    ...(target === null ? [] : ['targets:', `  ${target.name}: ${flow(target.settings)}`]),
    'indices:',
    ...indices.flatMap((index) => indexLines(index, source.name)),
    ...unfit.slice(0, UNFIT_MAX).flatMap((table) => unfitLines(table, source.name)),
    ...(unfit.length > UNFIT_MAX ? [`  # ${unfit.length - UNFIT_MAX} more tables cannot be indexed as they are.`] : []),
  ];
  return `${lines.join('\n')}\n`;
}

function indexLines(proposed: ProposedIndex, source: string): string[] {
  const { index, schema, table, textFields, leftOut, warnings } = proposed;
  const settings: Record<string, string> = { from: scalar(quoteTableReference(source, schema, table)) };
  if (textFields.length > 0) settings['text_fields'] = `[${textFields.map(scalar).join(', ')}]`;
  if (leftOut.length > 0) settings['fields'] = flow(Object.fromEntries(leftOut.map(({ column }) => [scalar(column), 'false'])));
  const comments = [aboutTable(proposed), ...warnings.map(({ message }) => `! ${message}`)].flatMap((text) => comment(text));
  // `true` and `no` are index names, and other things to YAML.
  const name = scalar(index);
  const line = `  ${name}: ${flow(settings)}`;
  return [...comments, ...(line.length <= LINE_CHARS_MAX ? [line] : [`  ${name}:`, ...Object.entries(settings).map(([setting, value]) => `    ${setting}: ${value}`)])];
}

function aboutTable({ key, estimatedRows, leftOut }: ProposedIndex): string {
  // A table that nobody has counted yet has none for some servers.
  const rows = estimatedRows === null || estimatedRows === 0 ? 'rows not counted yet' : `about ${estimatedRows} row${estimatedRows === 1 ? '' : 's'}`;
  const without = leftOut.length === 0 ? '' : `; without ${leftOut.map(({ column, reason }) => `${column} (${reason})`).join(', ')}`;
  return `${rows}, key (${key.length === 0 ? 'the whole row' : key.join(', ')})${without}`;
}

function unfitLines({ index, schema, table, problems }: UnfitTable, source: string): string[] {
  const found = problems.flatMap(({ message, fix }) => [`${schema}.${table}: ${message}`, ...(fix === undefined ? [] : [`  ${fix}`])]);
  return [...found, `then ${index}: ${flow({ from: scalar(quoteTableReference(source, schema, table)) })}`].flatMap((text) => comment(text));
}

/** Names can hold line breaks, which would end the comment. */
function comment(text: string): string[] {
  return text.split(/[\r\n\u0085\u2028\u2029]+/).map((line) => `  # ${line.replaceAll(/\p{Cc}/gu, ' ')}`);
}

function flow(settings: Readonly<Record<string, string>>): string {
  return `{ ${Object.entries(settings).map(([name, value]) => `${name}: ${value}`).join(', ')} }`;
}

const plainScalar = /^[A-Za-z_][\w.]*$/;
const otherThanText = /^(true|false|null|yes|no|on|off|y|n)$/i;

/** Text as YAML: as it stands where it can be taken for nothing else, or in double quotes. */
export function scalar(text: string): string {
  if (plainScalar.test(text) && !otherThanText.test(text)) return text;
  // JSON leaves these as they are; YAML takes some of them for line breaks.
  return JSON.stringify(text).replaceAll(/[\u007f-\u009f\u2028\u2029\ufeff]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
