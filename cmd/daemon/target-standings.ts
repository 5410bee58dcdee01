/** How far the indices are according to their targets, asked without a daemon: for reading verbs. Nothing is written. */
import type { TailraceConfig } from '../../src/config/definition.ts';
import type { TargetConnector } from '../../src/connector/registry.ts';
import type { GenerationListing, Target } from '../../src/connector/target.ts';
import { invariant } from '../../src/errors/invariant.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { recordsOf } from '../../src/pipeline/generations.ts';
import { unseenAt } from '../../src/pipeline/unseen.ts';
import type { Runtime } from '../../src/runtime/runtime.ts';
import type { GenerationRecord, StateStore } from '../../src/state/state-store.ts';

/** A target that says nothing for so long is not waited for: the rest of the answer does not need it. */
const ANSWER_WITHIN_MS = 10_000;

/** Where a generation stands, or why its target does not say; with it, why its readers do not find it. */
export interface Standing {
  readonly cursor: number | null;
  readonly error: unknown;
}

interface Held {
  /** All that it has; null when it did not say. */
  readonly listed: readonly GenerationListing[] | null;
  readonly keepsCursors: boolean;
  readonly error: unknown;
}

/** Cursors of generations: those that the target keeps with its documents, or else those of the state store. */
export class TargetStandings {
  readonly #state: StateStore;
  readonly #held: ReadonlyMap<string, Held>;

  private constructor(state: StateStore, held: ReadonlyMap<string, Held>) {
    this.#state = state;
    this.#held = held;
  }

  /** Asks every target that an index of the config is written to. */
  static async look(config: TailraceConfig, state: StateStore, runtime: Runtime): Promise<TargetStandings> {
    const used = config.targets.filter(({ name }) => config.indices.some(({ to }) => to === name));
    const held = used.map(async ({ name }): Promise<[string, Held]> => [name, await ask(config, name, runtime)]);
    return new TargetStandings(state, new Map(await Promise.all(held)));
  }

  of({ index, generation, startSeq, phase }: GenerationRecord, target: string): Standing {
    const held = this.#held.get(target);
    // What the state store keeps is known without the target.
    if (held === undefined || (held.error !== null && held.keepsCursors)) return { cursor: null, error: held?.error ?? null };
    const stored = this.#state.cursor(index, generation);
    const listed = held.listed?.find((one) => one.index === index && one.generation === generation);
    // What nothing was applied to yet begins there.
    const cursor = (held.keepsCursors ? listed?.cursor : stored) ?? startSeq;
    // What was rewound begins where the state store says, whatever its target has applied.
    return { cursor: Math.min(cursor, stored ?? cursor), error: held.error !== null ? held.error : phase === 'serving' ? unseenAt(recordsOf(this.#state, index), held.listed ?? [], target) : null };
  }
}

async function ask(config: TailraceConfig, name: string, runtime: Runtime): Promise<Held> {
  const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
  let keepsCursors = true;
  try {
    await using target = await openTarget(config, name, runtime);
    keepsCursors = target.capabilities.atomicCursor;
    return { listed: await target.generations(signal), keepsCursors, error: null };
  } catch (error) {
    // Shown beside the index; the others have their answer all the same.
    if (!signal.aborted) return { listed: null, keepsCursors, error };
    return { listed: null, keepsCursors, error: new TailraceError('TIMED_OUT', { message: `Target ${name} did not answer within ${ANSWER_WITHIN_MS / 1000} s.`, entity: name }) };
  }
}

/** A target of the config, for looking only. */
export async function openTarget(config: TailraceConfig, name: string, runtime: Runtime): Promise<Target> {
  const { connectors } = await import('../../connectors/index.ts');
  const definition = config.targets.find((target) => target.name === name);
  const connector = (connectors.targets as Readonly<Record<string, TargetConnector>>)[definition?.type ?? ''];
  invariant(definition !== undefined && connector !== undefined, `the config was checked: there is a target ${name}`);
  return connector.create(definition.settings, { name, runtime, dataDirectory: config.data_directory });
}
