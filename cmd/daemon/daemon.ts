/** A pipeline with everything around it that makes a daemon: its log lines, its metrics, its admin surface. */
import { connectors } from '../../connectors/index.ts';
import type { RowFormat } from '../../src/connector/row-format.ts';
import type { Source } from '../../src/connector/source.ts';
import type { SourceConnector } from '../../src/connector/registry.ts';
import type { TailraceConfig } from '../../src/config/definition.ts';
import { checkSocketPath, startAdmin, type AdminServer } from '../../src/observe/admin/server.ts';
import { createLogger, type LoggerOptions, type ProcessLogger } from '../../src/observe/logging/logger.ts';
import { Scrubber, secretsIn } from '../../src/observe/logging/scrub.ts';
import { createMetrics } from '../../src/observe/metrics/metrics.ts';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import { startPipeline } from '../../src/pipeline/start.ts';
import { nodeClock } from '../../src/runtime/node/clock.ts';
import { nodeHttpServe } from '../../src/runtime/node/http.ts';
import { watchProcessUsage } from '../../src/runtime/node/process-usage.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import type { Runtime } from '../../src/runtime/runtime.ts';
import { transformOf, type LoadedConfig } from '../config-file.ts';
import { packageVersion } from '../version.ts';
import { socketPathOf } from './reading.ts';

export interface DaemonOptions {
  readonly logging: Pick<LoggerOptions, 'format' | 'colour' | 'debug' | 'write'>;
  /** Sources whose indices are built again. */
  readonly rebuild?: readonly string[];
  /** Somebody asked over the admin surface that the daemon stops. */
  readonly onStopRequested: () => void;
}

export interface Daemon extends AsyncDisposable {
  readonly pipeline: Pipeline;
  readonly admin: AdminServer;
  readonly logger: ProcessLogger;
}

/** Resolves when it runs. Disposing stops it. Errors: those of `startPipeline` and `startAdmin`. */
export async function startDaemon({ config, path }: LoadedConfig, options: DaemonOptions): Promise<Daemon> {
  checkSocketPath(socketPathOf(config));
  const scrubber = new Scrubber(secretsIn(config));
  const { debug } = options.logging;
  const logger = createLogger({ ...options.logging, level: debug ? 'debug' : config.logging.level, scrubber, clock: nodeClock });
  const runtime = nodeRuntime(logger);
  const version = packageVersion();
  logger.info('starting', { version, pid: process.pid, config: path, data_directory: config.data_directory });
  await using opened = new AsyncDisposableStack();
  opened.defer(() => logger.flush());
  const loadIndexTransform = async (index: TailraceConfig['indices'][number]): ReturnType<typeof transformOf> => transformOf(index, path);
  const pipeline = await startPipeline(config, { connectors, runtime, version, pid: process.pid, loadTransform: loadIndexTransform, rebuild: options.rebuild });
  opened.defer(async () => {
    // How it ended is what `finished` has said to whoever waits for it.
    await pipeline.stop().catch(() => {});
  });
  const positions = opened.use(openPositionFormats(config, runtime));
  const admin = await startAdmin(config.admin, socketPathOf(config), {
    subject: pipeline,
    config,
    entries: { formats: rowFormats(), formatPosition: positions.format },
    scrubber,
    metrics: createMetrics(() => pipeline.status(), watchProcessUsage()),
    after: (ms, task) => nodeClock.schedule(ms, task),
    requestStop: options.onStopRequested,
    serve: nodeHttpServe,
    logger,
  });
  opened.use(admin);
  const resources = opened.move();
  return { pipeline, admin, logger, [Symbol.asyncDispose]: async () => resources.disposeAsync() };
}

/** How rows in the log are read, by the name that their schemas give. */
export function rowFormats(): ReadonlyMap<string, RowFormat> {
  return new Map(Object.values(connectors.sources as Readonly<Record<string, SourceConnector>>).map(({ format }) => [format.name, format]));
}

export interface PositionFormats extends AsyncDisposable {
  /** As the source's own tools write it; the bytes in hex for a source that the config does not name any more. */
  readonly format: (source: string, position: Uint8Array) => string;
}

/** Connectors that are asked for nothing but how a position is written: none of them connects. */
export function openPositionFormats(config: TailraceConfig, runtime: Runtime): PositionFormats {
  const sources = new Map<string, Source>();
  for (const { name, type, settings } of config.sources) {
    const connector = (connectors.sources as Readonly<Record<string, SourceConnector>>)[type];
    if (connector !== undefined) sources.set(name, connector.create(settings, { name, runtime }));
  }
  return {
    format: (source, position) => sources.get(source)?.formatPosition(position) ?? Buffer.from(position).toString('hex'),
    [Symbol.asyncDispose]: async () => {
      for (const source of sources.values()) await source[Symbol.asyncDispose]();
    },
  };
}
