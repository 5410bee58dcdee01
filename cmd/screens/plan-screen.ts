/** `tailrace plan` for people: what becomes of each index and source, and what is left where it is. */
import type { LeftBehind } from '../../src/pipeline/left-behind.ts';
import type { SettingChange, SourcePlan, StartPlan } from '../../src/pipeline/plan.ts';
import type { IndexPlan } from '../../src/pipeline/plan-index.ts';
import type { StatusError } from '../../src/pipeline/status.ts';
import { typed, typedText } from '../terminal/given-options.ts';
import { printable } from '../terminal/printable.ts';
import type { Colour, Paint } from '../terminal/table.ts';
import { bytes, counted } from '../terminal/units.ts';

export function planScreen(path: string, { indices, sources, unasked_targets: unasked, left_behind: left, settings }: StartPlan, paint: Paint): string[] {
  const section = (title: string, lines: readonly string[]): string[] => (lines.length === 0 ? [] : ['', paint('dim', title), ...lines]);
  return [
    `Config ${path}, when the daemon ${settings === null ? 'starts' : 'that runs is started again'}:`,
    ...section('INDICES', indices.flatMap((index) => indexLines(index, paint))),
    ...section('SOURCES', sources.flatMap((source) => sourceLines(source, paint))),
    ...section('SETTINGS', settings === null ? [] : settings.filter(({ setting }) => !/^indices\.[^.]+(\.(from|key|where|fields|transform|text_fields|mapping|settings|to)\b|$)/.test(setting)).map(settingLine)),
    ...section('TARGETS', unasked.flatMap(({ target, error }) => [`${target}: could not be asked what it holds`, ...errorLines(error, paint)])),
    ...section('LEFT BEHIND', left.map(leftLine)),
  ];
}

const colours: Readonly<Record<IndexPlan['action'], Colour>> = { nothing: 'green', in_place: 'cyan', build: 'cyan', new_generation: 'yellow' };

function indexLines(plan: IndexPlan, paint: Paint): string[] {
  const { index, action, problems } = plan;
  const what = { nothing: 'nothing changes', in_place: 'changed in place', build: 'built', new_generation: 'built again' }[action];
  const lines = [`${index}: ${paint(colours[action], what)}${whyOf(plan)}`, ...detailsOf(plan).map((line) => `  ${line}`)];
  return [...lines, ...typed(problems).map((problem) => `  ${paint('red', '!')} ${printable(problem)}`)];
}

function whyOf({ action, changed, generation, table, target }: IndexPlan): string {
  const names = changed.map((name) => printable(name)).join(', ');
  if (action === 'nothing') return '';
  if (action === 'in_place') return `: ${names}`;
  return ` as generation ${generation} at ${target}, from ${table}${changed.length === 0 ? '' : `, for ${names}`}`;
}

function detailsOf({ action, serving, stands_still: still, drops, estimated_rows: rows, estimated_bytes: size }: IndexPlan): string[] {
  const isBuilt = action === 'build' || action === 'new_generation';
  const lines: string[] = [];
  if (isBuilt) lines.push(rows === null && size === null ? 'How much is read for it, nobody knows.' : `Read for it: about ${[...(rows === null ? [] : [counted(rows, 'row')]), ...(size === null ? [] : [bytes(size)])].join(', ')}.`);
  if (isBuilt && serving !== null) lines.push(`Readers keep generation ${serving} until it is in step; it ${still === null ? 'stays in step meanwhile' : `stands still meanwhile: ${printable(still)}`}.`);
  if (action === 'in_place') lines.push('Where the target cannot change it in place, it builds another generation by itself.');
  for (const { generation, after_swap_hours: hours } of drops) lines.push(hours === null ? `Generation ${generation} is dropped.` : `Generation ${generation} is dropped ${hours === 0 ? 'as soon as readers get the new one' : `${hours} h after readers get the new one`}.`);
  return lines;
}

function sourceLines({ source, action, tables_added: added, tables_read_again: again, tables_removed: removed, statements, error }: SourcePlan, paint: Paint): string[] {
  const what = { begin: 'its history is read from now on', continue: 'goes on', unused: 'not read: no index is made from it', left_behind: 'is not in the config any more: what was made there stays, and its server keeps history for it' }[action];
  const list = (tables: readonly string[]): string => tables.map((table) => printable(table)).join(', ');
  return [
    `${source}: ${what}`,
    ...(action === 'continue' && added.length > 0 ? [`  Read from now on: ${list(added)}${again.length === 0 ? '' : `; from its beginning, because it was not read for a while: ${list(again)}`}.`] : []),
    ...(removed.length > 0 && action !== 'left_behind' ? [`  Read no more: ${list(removed)}. What publishes it goes on doing so.`] : []),
    ...statements.map((statement) => `  ${paint('cyan', '→')} ${statement}`),
    ...(error === null ? [] : errorLines(error, paint)),
  ];
}

function errorLines({ message, code, hint }: StatusError, paint: Paint): string[] {
  return [`  ${paint('red', '!')} ${printable(message)} ${paint('dim', `(${code})`)}`, `    ${paint('cyan', '→')} ${printable(typedText(hint))}`];
}

function settingLine({ setting, from, to }: SettingChange): string {
  return `${setting}: ${textOf(from)} → ${textOf(to)}`;
}

function textOf(value: unknown): string {
  return value === null ? '(none)' : printable(typeof value === 'string' ? value : JSON.stringify(value));
}

export function leftLine({ index, generation, target, promoted, documents, known }: LeftBehind): string {
  const what = [...(documents === null ? [] : [counted(documents, 'document')]), ...(promoted === true ? ['readers see it'] : []), ...(known ? [] : ['not built from this data directory'])];
  return `Generation ${generation} of ${index} stays at ${target}${what.length === 0 ? '' : ` (${what.join(', ')})`}`;
}
