/**
 * tailrace as a library: what `import { defineConfig, startPipeline } from 'tailrace'` gives. The same engine, checks and defaults as the daemon's,
 * without its command line, admin surface and log lines.
 */
import { resolve } from 'node:path';
import { connectors } from '../connectors/index.ts';
import type { ConfigInput } from '../src/config/config-schema.ts';
import { defineConfig as checkConfig } from '../src/config/define.ts';
import type { TailraceConfig } from '../src/config/definition.ts';
import type { Pipeline } from '../src/pipeline/pipeline.ts';
import { startPipeline as start } from '../src/pipeline/start.ts';
import { silentLogger, type Logger } from '../src/runtime/logger.ts';
import { nodeRuntime } from '../src/runtime/node/runtime.ts';
import { transformOf } from './config-file.ts';
import { packageVersion } from './version.ts';

export type { SearchHit, SearchRequest } from '../src/connector/target.ts';
export type { TailraceConfig } from '../src/config/definition.ts';
export type { ErrorCode } from '../src/errors/catalogue.ts';
export { codeOf, TailraceError } from '../src/errors/tailrace-error.ts';
export type { Pipeline } from '../src/pipeline/pipeline.ts';
export type { PositionReport } from '../src/pipeline/positions.ts';
export type { IndexStatus, PipelineStatus, SourceStatus } from '../src/pipeline/status.ts';
export type { LogFields, Logger } from '../src/runtime/logger.ts';
export { Secret } from '../src/runtime/secret.ts';

/** Checks and completes a config: the names, defaults and messages of the file. Relative paths begin at the working directory. Throws CFG_INVALID. */
export function defineConfig(config: ConfigInput<typeof connectors>): TailraceConfig {
  const complete = checkConfig(config, { connectors });
  return { ...complete, data_directory: resolve(complete.data_directory) };
}

export interface PipelineOptions {
  /** Where log lines go; by default nowhere. Fields hold no row values; errors may hold what a driver said. */
  readonly logger?: Logger;
  /** Sources whose indices are built again from a new snapshot. */
  readonly rebuild?: readonly string[];
}

/**
 * Resolves when the pipeline runs; `caughtUp` tells when it is in step, `finished` when and how it has ended. Dispose it to stop it.
 * Errors: LOCK_HELD when a daemon or another pipeline works in the data directory, STATE_*, LOG_CORRUPT, DISK_*, CFG_TRANSFORM.
 */
export async function startPipeline(config: TailraceConfig, { logger = silentLogger, rebuild }: PipelineOptions = {}): Promise<Pipeline> {
  return start(config, {
    connectors,
    runtime: nodeRuntime(logger),
    version: packageVersion(),
    pid: process.pid,
    // Paths in a config that is no file begin at the working directory, as if the config lay there.
    loadTransform: async (index) => transformOf(index, resolve('tailrace.config')),
    rebuild,
  });
}
