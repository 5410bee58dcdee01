/**
 * The records of an index's generations: which of them it stands for, which are fed, and how they change when a run begins, another generation is
 * begun, or readers get to see another one. Every change is one transaction of the state store.
 */
import type { Seq } from '../change/seq.ts';
import type { IndexDefinition } from '../config/index-settings.ts';
import type { GenerationReason, GenerationRecord, LastBegun, StateStore } from '../state/state-store.ts';

const HOUR_MS = 60 * 60 * 1000;

/** On its way to its readers: being built, or whole and not shown yet; one that went back from them is on its way, too, when it is promoted again. */
export function isPending({ phase, held }: Pick<GenerationRecord, 'phase' | 'held'>): boolean {
  return phase === 'building' || (phase === 'ready' && !held);
}

/** Built for an index that has not served it yet: another one that is begun takes its place. */
export function isUnserved({ phase, retiredAtMs }: GenerationRecord): boolean {
  return phase === 'building' || (phase === 'ready' && retiredAtMs === null);
}

/** False of what waits to be removed, and of what lacks a part of its history. */
export function isFed({ phase, abandoned }: Pick<GenerationRecord, 'phase' | 'abandoned'>): boolean {
  return phase !== 'dropping' && !abandoned;
}

/** The generation that stands for its index: the one that readers see, or the one that will take its place when that is fed no more. */
export function standingFor<T>(generations: readonly T[], recordOf: (generation: T) => GenerationRecord): T | undefined {
  const fed = generations.filter((one) => isFed(recordOf(one)));
  return fed.find((one) => recordOf(one).phase === 'serving') ?? fed.findLast((one) => isUnserved(recordOf(one))) ?? generations.find((one) => recordOf(one).phase === 'serving');
}

/** The same of the records of a state store; undefined for an index that was never begun. */
export function recordOfIndex(state: StateStore, index: string): GenerationRecord | undefined {
  return standingFor(recordsOf(state, index), (record) => record);
}

export function recordsOf(state: StateStore, index: string): GenerationRecord[] {
  return state.generations().filter((record) => record.index === index);
}

export interface Beginning {
  readonly definition: IndexDefinition;
  /** Of that definition. */
  readonly fingerprint: string;
  readonly reason: GenerationReason;
  /** It stays `ready` until somebody promotes it. */
  readonly held: boolean;
  /** The new generation reads the log from behind it. */
  readonly durableSeq: Seq;
  readonly nowMs: number;
}

/** Begins another generation. What was being built before is given up; of a rebuild nothing older is fed any more. Returns what is durable then. */
export function beginGeneration(state: StateStore, { definition, fingerprint, reason, held, durableSeq, nowMs }: Beginning): GenerationRecord {
  const records = recordsOf(state, definition.name);
  const record: GenerationRecord = {
    index: definition.name,
    generation: Math.max(state.lastBegun(definition.name)?.generation ?? 0, ...records.map(({ generation }) => generation)) + 1,
    phase: 'building',
    startSeq: durableSeq,
    fingerprint,
    definition: JSON.stringify(definition),
    incarnation: '',
    reason,
    wholeSeq: null,
    held,
    abandoned: false,
    createdAtMs: nowMs,
    retiredAtMs: null,
  };
  const changed = records.filter(({ phase }) => phase !== 'dropping').flatMap((older): GenerationRecord[] => {
    if (isUnserved(older) || (reason === 'rebuild' && older.phase !== 'serving')) return [{ ...older, phase: 'dropping' }];
    return reason === 'rebuild' ? [{ ...older, abandoned: true }] : [];
  });
  state.putGenerations(record, ...changed);
  return record;
}

export interface RunStart {
  readonly definition: IndexDefinition;
  readonly fingerprint: string;
  /** A new generation is asked for in any case: the history of the source begins anew. */
  readonly rebuild: boolean;
  /** True for targets that the config has. */
  readonly hasTarget: (target: string) => boolean;
  readonly durableSeq: Seq;
  readonly nowMs: number;
}

/** What a run does first with the generations of an index: begins another one, or keeps those that there are, but for the ones that nobody wants any more. */
export type StartDecision = { readonly begin: GenerationReason } | { readonly begin: null; readonly unwanted: readonly GenerationRecord[] };

/**
 * Another one is begun if the config wants other documents, or the same at another target, than the last that was begun, and than the one that serves.
 * So an index that was put back to an older generation stays there until the config changes.
 */
export function decideStart(records: readonly GenerationRecord[], last: LastBegun | null, { definition, fingerprint, rebuild, hasTarget }: Pick<RunStart, 'definition' | 'fingerprint' | 'rebuild' | 'hasTarget'>): StartDecision {
  const serving = records.find(({ phase }) => phase === 'serving');
  const isAsWanted = (record: GenerationRecord): boolean => record.fingerprint === fingerprint && targetOf(record, definition.to, hasTarget) === definition.to;
  const newest = records.find(({ generation }) => generation === last?.generation);
  const lastAsWanted = newest === undefined ? last?.fingerprint === fingerprint : isAsWanted(newest);
  const hasAny = records.some((record) => isFed(record));
  if (rebuild) return { begin: 'rebuild' };
  if (last === null || !hasAny) return { begin: 'new' };
  if (!lastAsWanted && (serving === undefined || serving.abandoned || !isAsWanted(serving))) return { begin: 'config' };
  return { begin: null, unwanted: records.filter((record) => isUnserved(record) && !isAsWanted(record)) };
}

/** What a run begins with, durable. */
export function generationsAtStart(state: StateStore, start: RunStart): GenerationRecord[] {
  const { definition, fingerprint, durableSeq, nowMs } = start;
  const decision = decideStart(recordsOf(state, definition.name), state.lastBegun(definition.name), start);
  if (decision.begin !== null) beginGeneration(state, { definition, fingerprint, reason: decision.begin, held: false, durableSeq, nowMs });
  else state.putGenerations(...decision.unwanted.map((record): GenerationRecord => ({ ...record, phase: 'dropping' })));
  return recordsOf(state, definition.name);
}

/** The target that a generation is at: the one that it was begun at, or that of its index where the config has no such one, be it only renamed. */
export function targetOf({ definition }: Pick<GenerationRecord, 'definition'>, ofIndex: string, isConfigured: (target: string) => boolean): string {
  const { to } = definition === '' ? {} : (JSON.parse(definition) as Partial<IndexDefinition>);
  return to !== undefined && isConfigured(to) ? to : ofIndex;
}

/** Readers see `record` now. Returns the records that changed: the one that they saw before goes back, or goes at once where nobody can go back to it. */
export function served(state: StateStore, record: GenerationRecord, rollbackHours: number, nowMs: number): GenerationRecord[] {
  const before = recordsOf(state, record.index).filter(({ phase, generation }) => phase === 'serving' && generation !== record.generation);
  const changed: GenerationRecord[] = [
    ...before.map((one): GenerationRecord => ({ ...one, phase: rollbackHours === 0 || one.abandoned ? 'dropping' : 'retired', retiredAtMs: nowMs })),
    { ...record, phase: 'serving', held: false, retiredAtMs: null },
  ];
  state.putGenerations(...changed);
  return changed;
}

/** When a generation that went back from its readers is dropped; null for every other one. */
export function dropAtMs({ phase, retiredAtMs }: GenerationRecord, rollbackHours: number): number | null {
  return phase === 'retired' && retiredAtMs !== null ? retiredAtMs + rollbackHours * HOUR_MS : null;
}
