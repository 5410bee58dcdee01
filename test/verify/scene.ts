/** An index whose target somebody has been at, beside a source that goes on: a pipeline on a scripted server, and words for damage and what is found of it. */
import type { Difference } from '../../src/verify/difference.ts';
import type { VerifyReport } from '../../src/pipeline/verify-status.ts';
import type { VerifyRequest } from '../../src/pipeline/verifications.ts';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import type { Kept } from '../sim/memory-storage.ts';
import { ScriptedServer, ScriptedStage, type ScriptedOptions } from '../pipeline/scripted-server.ts';

export const within = (ms = 20_000): AbortSignal => AbortSignal.timeout(ms);

const TABLE = 'public.items';

export class DamagedScene implements AsyncDisposable {
  readonly server = new ScriptedServer();
  readonly stage: ScriptedStage;
  readonly settings: Readonly<Record<string, unknown>>;

  private constructor(stage: ScriptedStage, settings: Readonly<Record<string, unknown>>) {
    this.stage = stage;
    this.settings = settings;
  }

  /** `rows`: how many the table has, with ids from `k1` on. */
  static async make({ rows = 10, atomicCursor = true, settings = {} }: { rows?: number; atomicCursor?: boolean; settings?: Readonly<Record<string, unknown>> } = {}): Promise<DamagedScene> {
    const scene = new DamagedScene(await ScriptedStage.make({ atomicCursor }), settings);
    for (let i = 1; i <= rows; i += 1) scene.write(`k${i}`, `name ${i}`);
    return scene;
  }

  async start(options: Partial<ScriptedOptions> = {}): Promise<Pipeline> {
    return this.stage.start({ servers: { shop: this.server }, indices: { items: { from: `shop.${TABLE}`, ...this.settings } }, ...options });
  }

  /** A pipeline whose index is in step. */
  async started(options: Partial<ScriptedOptions> = {}): Promise<Pipeline> {
    const pipeline = await this.start(options);
    await pipeline.caughtUp(within());
    return pipeline;
  }

  write(id: string, name: string | null): void {
    this.server.write(TABLE, id, name);
  }

  /** What the target has of a generation, to be meddled with. */
  held(generation = 1): Map<string, Kept> {
    const kept = this.stage.storage.index('items').generations.get(generation);
    if (kept === undefined) throw new Error(`there is no generation ${generation}`);
    return kept.documents;
  }

  /** Puts something else in the place of a document. */
  damage(id: string, change: (kept: Kept) => Partial<Kept>, generation = 1): void {
    const kept = this.held(generation).get(id);
    if (kept === undefined) throw new Error(`there is no ${id}`);
    this.held(generation).set(id, { ...kept, ...change(kept) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stage[Symbol.asyncDispose]();
  }
}

export interface Found {
  readonly report: VerifyReport;
  readonly differences: readonly Difference[];
  /** `k1 missing`, in the order of ids. */
  readonly words: readonly string[];
}

export async function verified(pipeline: Pipeline, request: Partial<VerifyRequest> = {}): Promise<Found> {
  const { ended } = pipeline.verifications.begin({ index: 'items', extent: 'all', repair: false, rowsPerSecond: null, ...request }, within());
  const { report, found } = await ended;
  return { report, differences: found, words: found.map(({ id, kind, field }) => `${id} ${kind}${field === null ? '' : ` ${field}`}`).toSorted() };
}
