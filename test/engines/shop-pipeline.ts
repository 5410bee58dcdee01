/** A pipeline in this process, from one Postgres source named `shop` into the embedded index of its data directory. */
import { connectors } from '../../connectors/index.ts';
import type { ConfigInput } from '../../src/config/config-schema.ts';
import { defineConfig } from '../../src/config/define.ts';
import type { DocumentTransform } from '../../src/document/transform.ts';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import { startPipeline } from '../../src/pipeline/start.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';

export interface Shop {
  /** The data directory. */
  readonly folder: string;
  readonly url: string;
  readonly indices: ConfigInput['indices'];
  readonly snapshot?: ConfigInput['snapshot'];
  /** Sources that are read anew. */
  readonly rebuild?: string[] | undefined;
  /** What every index gets that names a transform. */
  readonly transform?: DocumentTransform | undefined;
}

/** How long an index may take to come into step. */
export const CATCH_UP_MS = 60_000;

export async function startShop({ folder, url, indices, snapshot = {}, rebuild, transform }: Shop): Promise<Pipeline> {
  const config = defineConfig({ data_directory: folder, sources: { shop: { type: 'postgres', url } }, snapshot, indices }, { connectors });
  const loadTransform = async (index: { readonly transform?: unknown }): Promise<DocumentTransform | undefined> => (index.transform === undefined ? undefined : transform);
  return startPipeline(config, { connectors, runtime: nodeRuntime(silentLogger), version: 'test', pid: process.pid, loadTransform, rebuild });
}

/** Runs until everything committed is searchable, then stops. */
export async function catchUpShop(shop: Shop): Promise<void> {
  await using pipeline = await startShop(shop);
  await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
}
