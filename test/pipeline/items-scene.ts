/** A pipeline with one index, `items`, and what tests of its generations ask of it. */
import { expect } from 'vitest';
import { fileBytes } from '../../cmd/daemon/file-bytes.ts';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import type { GenerationRecord } from '../../src/state/state-store.ts';
import { ScriptedServer, ScriptedStage, type ScriptedOptions } from './scripted-server.ts';

export const within = (): AbortSignal => AbortSignal.timeout(20_000);

/** `1 serving` of each generation, in their order. */
export function phases(pipeline: Pipeline): string[] {
  return pipeline.generations('items').map(({ generation, phase }) => `${generation} ${phase}`);
}

/** Resolves when the generations are so. */
export function settled(pipeline: Pipeline, ...expected: readonly string[]): Promise<void> {
  return expect.poll(() => phases(pipeline), { timeout: 10_000 }).toEqual(expected);
}

/** What the target has of a generation: names, or whole documents, by id. */
export function documents(stage: ScriptedStage, generation: number): Record<string, string> {
  const kept = stage.storage.index('items').generations.get(generation)?.documents ?? [];
  return Object.fromEntries([...kept].flatMap(([id, { document }]) => (document === null ? [] : [[id, (JSON.parse(document) as { name?: string; title?: string }).name ?? document]])));
}

/** The generations as they are durable. */
export function records(stage: ScriptedStage): GenerationRecord[] {
  using state = openSqliteState({ path: `${stage.directory}/data/state.db`, readOnly: { bytesOf: fileBytes } });
  return state.generations();
}

export interface ItemsScene extends AsyncDisposable {
  readonly stage: ScriptedStage;
  readonly server: ScriptedServer;
  start(more?: Readonly<Record<string, unknown>>, options?: Partial<ScriptedOptions>): Promise<Pipeline>;
}

/** An index `items` of a table with one row, on a stage that may be started again and again. */
export async function itemsScene(): Promise<ItemsScene> {
  const server = new ScriptedServer();
  server.write('public.items', 'a', 'first');
  const stage = await ScriptedStage.make();
  const start = async (more: Readonly<Record<string, unknown>> = {}, options: Partial<ScriptedOptions> = {}): Promise<Pipeline> =>
    stage.start({ servers: { shop: server }, indices: { items: { from: 'shop.public.items', ...more } }, ...options });
  return { stage, server, start, [Symbol.asyncDispose]: async () => stage[Symbol.asyncDispose]() };
}
