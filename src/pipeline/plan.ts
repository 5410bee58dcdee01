/**
 * What the daemon will do when it starts with a config, said before it is done and from what it would find: the records of the data directory, the
 * registers of its log, the source's tables and what the targets hold. Nothing is written. What decides is what decides at the start itself.
 */
import { decodeTables, identityRegister, tablesRegister } from '../capture/resume-point.ts';
import { schemaOfRegister } from '../capture/schema-registry.ts';
import type { RowSchema } from '../change/schema.ts';
import type { TailraceConfig } from '../config/definition.ts';
import type { IndexDefinition } from '../config/index-settings.ts';
import type { RowFormat } from '../connector/row-format.ts';
import type { SourceOutlook, TableOutlook } from '../connector/source.ts';
import type { GenerationListing } from '../connector/target.ts';
import type { DocumentTransform } from '../document/transform.ts';
import type { StateStore } from '../state/state-store.ts';
import { leftAt, type LeftBehind } from './left-behind.ts';
import { planIndex, type IndexOutlook, type IndexPlan } from './plan-index.ts';
import { statusError } from './pipeline-status.ts';
import { targetOf } from './generations.ts';
import type { StatusError } from './status.ts';

export interface PlanInput {
  readonly config: TailraceConfig;
  /** Null where no daemon has run. */
  readonly state: Pick<StateStore, 'generations' | 'lastBegun'> | null;
  /** Of the log; empty where there is none. */
  readonly registers: ReadonlyMap<string, Uint8Array>;
  readonly formats: (source: string) => RowFormat | undefined;
  readonly transforms: ReadonlyMap<string, DocumentTransform>;
  /** By source: what it says, or the error when it could not be asked. */
  readonly outlooks: ReadonlyMap<string, { readonly outlook: SourceOutlook } | { readonly error: unknown }>;
  /** As `TargetConnector.fieldProblem`, of the target of that name. */
  readonly fieldProblem: (target: string, field: string) => string | undefined;
  /** By target: what it holds, or the error. */
  readonly held: ReadonlyMap<string, { readonly generations: readonly GenerationListing[] } | { readonly error: unknown }>;
  /** The config of the daemon that runs, as JSON; null when none does. */
  readonly running: unknown;
  readonly nowMs: number;
}

export interface SourcePlan {
  readonly source: string;
  /** `begin`: its history is read from now on; `continue`; `unused`: no index is made from it; `left_behind`: the config has it no more. */
  readonly action: 'begin' | 'continue' | 'unused' | 'left_behind';
  /** Read from now on; those that were read before, and not lately, are read again from their beginning. */
  readonly tables_added: readonly string[];
  readonly tables_read_again: readonly string[];
  /** Read no more: what publishes them goes on doing so. */
  readonly tables_removed: readonly string[];
  /** What is run at the source. */
  readonly statements: readonly string[];
  /** Why the source could not be asked. */
  readonly error: StatusError | null;
}

/** A setting that the daemon that runs has otherwise. */
export interface SettingChange {
  readonly setting: string;
  readonly from: unknown;
  readonly to: unknown;
}

export interface StartPlan {
  readonly indices: readonly IndexPlan[];
  readonly sources: readonly SourcePlan[];
  /** Those that could not be asked what they hold: what is planned is without that. */
  readonly unasked_targets: readonly { readonly target: string; readonly error: StatusError }[];
  readonly left_behind: readonly LeftBehind[];
  /** Null when no daemon runs that they could be compared with. */
  readonly settings: readonly SettingChange[] | null;
}

/** Throws CFG_TRANSFORM for an expression that cannot be right for any table. */
export function planStart(input: PlanInput): StartPlan {
  const { config, registers, running } = input;
  const schemas = [...registers].flatMap((register) => schemaOfRegister(register) ?? []);
  const planned = config.indices.map((definition) => planIndex(outlookOf(definition, schemas, input)));
  return {
    indices: planned.map(({ plan }) => plan),
    sources: [...config.sources.map(({ name }) => planSource(name, planned.flatMap(({ tables }) => tables), schemas, input)), ...leftSources(input)],
    unasked_targets: [...input.held].flatMap(([target, answer]) => ('error' in answer ? [{ target, error: statusError(answer.error, target) as StatusError }] : [])),
    left_behind: leftBehind(input),
    settings: running === null ? null : settingChanges(running, JSON.parse(JSON.stringify(config)), ''),
  };
}

function outlookOf(definition: IndexDefinition, schemas: readonly RowSchema[], { config, state, formats, transforms, outlooks, fieldProblem, held, nowMs }: PlanInput): IndexOutlook {
  const { source, table } = definition.from;
  const asked = outlooks.get(source);
  const tables: readonly TableOutlook[] | null = asked !== undefined && 'outlook' in asked ? asked.outlook.tables : null;
  const target = held.get(definition.to);
  return {
    definition,
    records: state?.generations().filter(({ index }) => index === definition.name) ?? [],
    last: state?.lastBegun(definition.name) ?? null,
    transform: transforms.get(definition.name),
    format: formats,
    keyOf: (from, name) => {
      const index = config.indices.find((one) => one.from.source === from && one.from.table === name);
      return index === undefined ? undefined : (index.key ?? 'default');
    },
    hasTarget: (name) => config.targets.some((one) => one.name === name),
    table: tables === null ? null : (tables.find((one) => one.table === table) ?? 'missing'),
    fieldProblem: (field) => fieldProblem(definition.to, field),
    lastSchema: schemas.filter((schema) => schema.source === source && schema.table === table).toSorted((a, b) => a.id - b.id).at(-1),
    held: target !== undefined && 'generations' in target ? target.generations.filter(({ index }) => index === definition.name) : null,
    nowMs,
  };
}

function planSource(source: string, wanted: readonly { readonly source: string; readonly table: string }[], schemas: readonly RowSchema[], { registers, outlooks }: PlanInput): SourcePlan {
  const tables = [...new Set(wanted.filter((one) => one.source === source).map(({ table }) => table))];
  const isKnown = registers.has(identityRegister(source));
  const asked = outlooks.get(source);
  const register = registers.get(tablesRegister(source));
  const before = register === undefined ? new Set<string>() : decodeTables(register);
  const isLogged = (table: string): boolean => schemas.some((schema) => schema.source === source && schema.table === table);
  const added = tables.filter((table) => !before.has(table));
  return {
    source,
    action: tables.length === 0 ? 'unused' : isKnown ? 'continue' : 'begin',
    tables_added: added,
    tables_read_again: isKnown ? added.filter(isLogged) : [],
    tables_removed: [...before].filter((table) => !tables.includes(table)),
    statements: tables.length > 0 && asked !== undefined && 'outlook' in asked ? asked.outlook.statements : [],
    error: asked !== undefined && 'error' in asked ? statusError(asked.error, source) : null,
  };
}

/** Sources that the log has read and that the config names no more. */
function leftSources({ config, registers }: PlanInput): SourcePlan[] {
  const prefix = identityRegister('');
  const names = [...registers.keys()].filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  const left = names.filter((name) => !config.sources.some((source) => source.name === name));
  return left.map((source) => {
    const register = registers.get(tablesRegister(source));
    return { source, action: 'left_behind', tables_added: [], tables_read_again: [], tables_removed: register === undefined ? [] : [...decodeTables(register)], statements: [], error: null };
  });
}

/** What targets hold of indices that the config has no more, or that no record knows. */
function leftBehind({ config, state, held }: PlanInput): LeftBehind[] {
  const records = state?.generations() ?? [];
  const isConfigured = (index: string): boolean => config.indices.some(({ name }) => name === index);
  const unused = [...held].flatMap(([target, answer]) => ('generations' in answer ? leftAt(target, answer.generations, { records, isConfigured }) : []));
  // A target that could not be asked, or that the config names no more, may hold what the records say.
  const unasked = records.filter(({ index }) => !isConfigured(index)).flatMap((record) => {
    const target = targetOf(record, '', (name) => name !== '');
    const answer = held.get(target);
    return answer === undefined || 'error' in answer ? [{ index: record.index, generation: record.generation, target, promoted: null, documents: null, known: true }] : [];
  });
  return [...unused, ...unasked];
}

/** Settings that differ, by their path: `log.max_bytes`, `indices.products.batch.max_operations`. */
function settingChanges(from: unknown, to: unknown, path: string): SettingChange[] {
  if (isNamed(from) && isNamed(to)) return settingChanges(byName(from), byName(to), path);
  if (!isObject(from) || !isObject(to)) return JSON.stringify(from) === JSON.stringify(to) ? [] : [{ setting: path, from: from ?? null, to: to ?? null }];
  const names = [...new Set([...Object.keys(from), ...Object.keys(to)])];
  return names.flatMap((name) => settingChanges(from[name], to[name], path === '' ? name : `${path}.${name}`));
}

type Named = readonly { readonly name: string }[];

/** Sources, targets and indices are lists of named things. */
function isNamed(value: unknown): value is Named {
  return Array.isArray(value) && value.length > 0 && value.every((one) => isObject(one) && typeof one['name'] === 'string' && !('kind' in one));
}

function byName(list: Named): Record<string, unknown> {
  return Object.fromEntries(list.map(({ name, ...rest }) => [name, rest]));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
