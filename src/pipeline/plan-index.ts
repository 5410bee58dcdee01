/** What a start does with one index: nothing, something in place, or another generation, and what becomes of those that there are. */
import type { RowSchema } from '../change/schema.ts';
import type { IndexDefinition } from '../config/index-settings.ts';
import type { TableOutlook } from '../connector/source.ts';
import type { FieldPlan, GenerationListing } from '../connector/target.ts';
import { createDocumentBuilder, definitionProblems } from '../document/builder.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import type { GenerationRecord, LastBegun } from '../state/state-store.ts';
import { feedOf, type FeedDeps } from './generation-feed.ts';
import { decideStart, dropAtMs, isFed, isUnserved, standingFor, targetOf } from './generations.ts';
import { unseenAt } from './unseen.ts';

export interface IndexOutlook extends FeedDeps {
  readonly records: readonly GenerationRecord[];
  readonly last: LastBegun | null;
  readonly hasTarget: (target: string) => boolean;
  /** As the source has it now; null when the source could not be asked. */
  readonly table: TableOutlook | 'missing' | null;
  /** As `TargetConnector.fieldProblem`, of its target. */
  readonly fieldProblem: (field: string) => string | undefined;
  /** As the log last knew the table. */
  readonly lastSchema: RowSchema | undefined;
  /** What its target holds of the index; null when it could not be asked. */
  readonly held: readonly GenerationListing[] | null;
  readonly nowMs: number;
}

/** A generation that goes. */
export interface PlannedDrop {
  readonly generation: number;
  /** Hours after readers got another one; null for one that goes as soon as the daemon runs. */
  readonly after_swap_hours: number | null;
}

export interface IndexPlan {
  readonly index: string;
  /** `source.schema.table` */
  readonly table: string;
  readonly target: string;
  /** `build`: readers have none yet; `new_generation`: beside the one that they see; `in_place`: the one that there is gets it. */
  readonly action: 'nothing' | 'in_place' | 'build' | 'new_generation';
  /** What differs from the generation that there is: settings by their names, and `field NAME` for a field that the table brings. */
  readonly changed: readonly string[];
  /** The one that is begun, or goes on; its number. */
  readonly generation: number;
  /** The one that readers see until then; null when they see none. */
  readonly serving: number | null;
  /** Why that one stands still meanwhile; null when it stays in step. */
  readonly stands_still: string | null;
  readonly drops: readonly PlannedDrop[];
  /** Of a snapshot; null when nothing is read, or nobody knows how much. */
  readonly estimated_rows: number | null;
  readonly estimated_bytes: number | null;
  /** What will stop it. */
  readonly problems: readonly string[];
}

export interface PlannedIndex {
  readonly plan: IndexPlan;
  /** What generations are made from when the daemon has started. */
  readonly tables: readonly { readonly source: string; readonly table: string }[];
}

export function planIndex(outlook: IndexOutlook): PlannedIndex {
  const { definition, records, last, transform, table } = outlook;
  const { source, table: name } = definition.from;
  const format = outlook.format(source);
  if (format === undefined) throw new TailraceError('INVARIANT', { message: `The config was checked: source ${source} is there.` });
  const { fingerprint } = createDocumentBuilder(definition, { format, transform });
  const decision = decideStart(records, last, { definition, fingerprint, rebuild: false, hasTarget: outlook.hasTarget });
  const isBegun = decision.begin !== null;
  const gone = new Set(goneAtStart(outlook, isBegun ? records.filter(isUnserved) : decision.unwanted));
  const kept = records.filter((record) => !gone.has(record));
  const serving = records.find(({ phase }) => phase === 'serving');
  const standing = standingFor(kept, (record) => record);
  const compared = serving ?? records.find(({ generation }) => generation === last?.generation) ?? standing;
  const feed = serving === undefined ? null : feedOf(serving, outlook);
  const changed = isBegun ? (decision.begin === 'new' ? [] : definitionChanges(compared, definition)) : changesInPlace(standing, outlook);
  const measured = isBegun && table !== null && table !== 'missing' ? table : null;
  const hours = serving?.abandoned === true ? 0 : definition.rollback_hours;
  return {
    plan: {
      index: definition.name,
      table: `${source}.${name}`,
      target: definition.to,
      action: isBegun ? (serving === undefined ? 'build' : 'new_generation') : changed.length > 0 ? 'in_place' : 'nothing',
      changed,
      generation: isBegun ? Math.max(last?.generation ?? 0, ...records.map(({ generation }) => generation)) + 1 : (standing?.generation ?? 0),
      serving: serving?.generation ?? null,
      stands_still: feed instanceof TailraceError ? feed.message : null,
      drops: [...[...gone].map(({ generation }) => ({ generation, after_swap_hours: null })), ...(isBegun && serving !== undefined ? [{ generation: serving.generation, after_swap_hours: hours }] : [])],
      estimated_rows: measured?.estimatedRows ?? null,
      estimated_bytes: measured?.estimatedBytes ?? null,
      problems: [...tableProblems(outlook), ...identityProblems(outlook, isBegun), ...unseenProblems(outlook)],
    },
    tables: [definition.from, ...kept.filter((record) => isFed(record)).flatMap((record) => fromOf(record, outlook))],
  };
}

/** Those that go as soon as the daemon runs. */
function goneAtStart({ records, definition, nowMs }: IndexOutlook, unwanted: readonly GenerationRecord[]): GenerationRecord[] {
  return records.filter((record) => {
    const atMs = dropAtMs(record, definition.rollback_hours);
    return record.phase === 'dropping' || unwanted.includes(record) || (atMs !== null && nowMs >= atMs);
  });
}

function fromOf(record: GenerationRecord, outlook: IndexOutlook): readonly IndexDefinition['from'][] {
  const feed = feedOf(record, outlook);
  return feed instanceof TailraceError ? [] : [feed.definition.from];
}

/** The settings by which documents, or their place, differ. */
const decisive = ['from', 'key', 'where', 'fields', 'transform', 'text_fields', 'mapping', 'to'] as const;

function definitionChanges(record: GenerationRecord | undefined, definition: IndexDefinition): string[] {
  if (record === undefined || record.definition === '') return ['the definition'];
  const begun = JSON.parse(record.definition) as IndexDefinition;
  const changed: string[] = decisive.filter((setting) => JSON.stringify(begun[setting]) !== JSON.stringify(definition[setting]));
  // The same words and another hash: what they stand for has changed.
  return changed.length > 0 ? changed : [definition.transform === undefined ? 'what tailrace makes of it' : 'transform'];
}

function changesInPlace(record: GenerationRecord | undefined, outlook: IndexOutlook): string[] {
  if (record === undefined || record.definition === '') return [];
  const feed = feedOf(record, outlook);
  if (feed instanceof TailraceError) return [];
  const begun = (JSON.parse(record.definition) as IndexDefinition).settings ?? {};
  const now = feed.settings ?? {};
  const names = [...new Set([...Object.keys(begun), ...Object.keys(now)])];
  return [...names.filter((name) => JSON.stringify(begun[name]) !== JSON.stringify(now[name])).map((name) => `settings.${name}`), ...newFields(feed.definition, outlook).map((name) => `field ${name}`)];
}

/** Fields that the table brings and that the index has not yet. */
function newFields(definition: IndexDefinition, outlook: IndexOutlook): string[] {
  const { table, lastSchema } = outlook;
  if (table === null || table === 'missing' || lastSchema === undefined) return [];
  if (definitionProblems(definition, table.schema).length > 0 || definitionProblems(definition, lastSchema).length > 0) return [];
  const known = new Set(fieldsWith({ ...outlook, definition }, lastSchema).map(({ name }) => name));
  return fieldsWith({ ...outlook, definition }, table.schema).map(({ name }) => name).filter((name) => !known.has(name));
}

function tableProblems(outlook: IndexOutlook): string[] {
  const { definition, table } = outlook;
  if (table === null) return [];
  if (table === 'missing') return [`The table ${definition.from.table} cannot be read as it is: \`tailrace check\` says why.`];
  const problems = definitionProblems(definition, table.schema);
  return problems.length > 0 ? problems.map(({ message }) => message) : fieldProblems(outlook, table);
}

/** Names that its target takes for no field. */
function fieldProblems(outlook: IndexOutlook, { schema }: TableOutlook): string[] {
  return fieldsWith(outlook, schema).flatMap(({ name }) => {
    const problem = outlook.fieldProblem(name);
    return problem === undefined ? [] : [`Target ${outlook.definition.to} can have no field \`${name}\`: it ${problem}.`];
  });
}

/** None where nobody can say. */
function fieldsWith({ definition, format, transform }: Pick<IndexOutlook, 'definition' | 'format' | 'transform'>, table: Pick<RowSchema, 'table' | 'columns'>): readonly FieldPlan[] {
  const reads = format(definition.from.source);
  return reads === undefined ? [] : createDocumentBuilder(definition, { format: reads, transform: definition.transform === undefined ? undefined : transform, table }).fields;
}

/** What serves is not what readers find at its target. */
function unseenProblems({ definition: { to }, records, held, hasTarget }: IndexOutlook): string[] {
  const error = held === null ? null : unseenAt(records.filter((record) => targetOf(record, to, hasTarget) === to), held, to);
  return error === null ? [] : [`${error.message} (${error.code}) ${error.hint}`];
}

/** What its target holds that this data directory did not build is not taken over. */
function identityProblems({ definition, records, last, held }: IndexOutlook, isBegun: boolean): string[] {
  const next = Math.max(last?.generation ?? 0, ...records.map(({ generation }) => generation)) + 1;
  const foreign = held?.find(({ generation }) => !records.some((record) => record.generation === generation) && (last === null || (isBegun && generation === next)));
  return foreign === undefined ? [] : [`Target ${definition.to} holds generation ${foreign.generation} of the index ${definition.name}, which was not built from this data directory (TGT_IDENTITY).`];
}
