/**
 * What tailrace keeps of a generation in its index's mapping, under `_meta.tailrace`: whose it is, what its settings are to be once it is
 * built, and what its fields were when tailrace last touched them. It goes where the index goes: into snapshots, and back out of them.
 */
import type { GenerationPlan } from '../../../src/connector/target.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import type { FlatSettings } from './index-settings.ts';
import type { IndexState } from './index-state.ts';
import { parseGenerationIndex, writeAliasNumber } from './names.ts';

export const META_FORMAT = 1;

export interface GenerationMeta {
  readonly format: number;
  readonly log_id: string;
  readonly epoch: number;
  readonly fingerprint: string;
  readonly index: string;
  readonly generation: number;
  /** Settings for the time when readers use it; `loadingSettings` stand in their place while it is built. */
  readonly settings: FlatSettings;
  /** Names of the fields that search looks into; null where the config names none. */
  readonly searched: readonly string[] | null;
  /** Type and digest of every field, as the server had them. */
  readonly fields: Readonly<Record<string, string>>;
}

export function newMeta(plan: GenerationPlan, settings: FlatSettings): GenerationMeta {
  const { binding, index, generation } = plan;
  return { format: META_FORMAT, log_id: binding.logId, epoch: binding.epoch, fingerprint: binding.fingerprint, index, generation, settings, searched: searchedOf(plan.fields), fields: {} };
}

/** Names of the fields to search, or null where the plan leaves it to their kinds. */
export function searchedOf(fields: GenerationPlan['fields']): readonly string[] | null {
  const isNamed = fields.some(({ searched }) => searched !== undefined);
  return isNamed ? fields.filter(({ searched }) => searched === true).map(({ name }) => name) : null;
}

/** Tailrace's part of a mapping's `_meta`; undefined when it has none. */
export function metaIn(meta: unknown): GenerationMeta | undefined {
  if (typeof meta !== 'object' || meta === null || !('tailrace' in meta)) return undefined;
  const { tailrace } = meta;
  if (typeof tailrace !== 'object' || tailrace === null || !('log_id' in tailrace)) return undefined;
  const held = tailrace as Partial<GenerationMeta>;
  if (typeof held.format === 'number' && held.format > META_FORMAT) {
    throw new TailraceError('STATE_TOO_NEW', { message: `The index ${held.index}, generation ${held.generation}, was written by a newer tailrace.` });
  }
  return { format: META_FORMAT, log_id: '', epoch: 0, fingerprint: '', index: '', generation: 0, settings: {}, searched: null, fields: {}, ...held };
}

/**
 * Which generation an index is: by what tailrace keeps in it; where somebody has overwritten that, by its name and a write alias, which nobody else makes. Undefined for an index
 * that tailrace did not make.
 */
export function ownerOf({ name, aliases, meta }: Pick<IndexState, 'name' | 'aliases' | 'meta'>): { readonly index: string; readonly generation: number } | undefined {
  const named = parseGenerationIndex(name);
  if (named === undefined) return undefined;
  const isOwn = meta === undefined ? aliases.some((alias) => writeAliasNumber(name, alias) !== undefined) : meta.index === named.index && meta.generation === named.generation;
  return isOwn ? named : undefined;
}

/** For an index of ours that says no more whose it is. `meta` is what it had. */
export function overwrittenMeta({ name, wholeMeta }: Pick<IndexState, 'name' | 'wholeMeta'>, meta: GenerationMeta, did?: string): TailraceError {
  return new TailraceError('TGT_IDENTITY', {
    message: `Somebody has overwritten the \`_meta\` of the index ${name}, by which tailrace knows it.`,
    did,
    hint: `Put it back: PUT /${name}/_mapping ${JSON.stringify({ _meta: { ...wholeMeta, tailrace: meta } })}${did === undefined ? ' and restart tailrace' : ''}. Or build another one beside it: \`tailrace resync ${meta.index}\`.`,
    entity: meta.index,
  });
}

/** Throws TGT_IDENTITY unless the index is the plan's generation, made from the same log and config. */
export function assertOwn(physical: string, meta: GenerationMeta | undefined, { binding, index, generation }: GenerationPlan): void {
  const refuse = (why: string, hint?: string): never => {
    throw new TailraceError('TGT_IDENTITY', { message: `The index ${physical} ${why}.`, entity: index, hint });
  };
  if (meta === undefined) return refuse('is there, but was not made by tailrace', `Servers make an index by themselves when something writes to its name. Build another one beside it: \`tailrace resync ${index}\`; if nobody needs what is there: DELETE /${physical}.`);
  if (meta.index !== index || meta.generation !== generation) refuse(`holds generation ${meta.generation} of ${meta.index}`);
  if (meta.log_id !== binding.logId) refuse('belongs to another data directory');
  if (meta.epoch !== binding.epoch) refuse(`was written from epoch ${meta.epoch} of the log, which is at epoch ${binding.epoch}`);
  if (meta.fingerprint !== binding.fingerprint) refuse('was made with another configuration of the index');
}
