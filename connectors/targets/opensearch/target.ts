/** The target for a cluster of OpenSearch or Elasticsearch: one index per generation, one alias per index. */
import type { Finding } from '../../../src/connector/finding.ts';
import type { GenerationListing, GenerationPlan, SearchHit, SearchRequest, StoredDocument, Target, TargetGeneration } from '../../../src/connector/target.ts';
import type { Runtime } from '../../../src/runtime/runtime.ts';
import { BulkSender } from './bulk.ts';
import { checkCluster } from './check.ts';
import { Cluster } from './cluster.ts';
import type { OpenSearchConfig } from './config.ts';
import { askDialect, type Dialect } from './dialect.ts';
import { OpenSearchGeneration } from './generation.ts';
import { dropIndex, listGenerations } from './listing.ts';
import { openIndex } from './opening.ts';
import { Pressure } from './pressure.ts';
import { fetchDocuments, searchIndex } from './reading.ts';

export interface OpenSearchTargetOptions {
  readonly name: string;
  readonly config: OpenSearchConfig;
  readonly runtime: Pick<Runtime, 'clock' | 'random'>;
}

export class OpenSearchTarget implements Target {
  readonly name: string;
  readonly capabilities = { atomicCursor: false } as const;
  readonly #config: OpenSearchConfig;
  readonly #runtime: Pick<Runtime, 'clock' | 'random'>;
  readonly #cluster: Cluster;
  readonly #sender: BulkSender;
  readonly #opened = new Set<OpenSearchGeneration>();
  #dialect: Dialect | undefined;

  constructor({ name, config, runtime }: OpenSearchTargetOptions) {
    this.name = name;
    this.#config = config;
    this.#runtime = runtime;
    this.#cluster = new Cluster(config, runtime.clock);
    const pressure = new Pressure({ requestsMax: config.max_requests, requestBytesMax: config.max_request_bytes });
    this.#sender = new BulkSender({ cluster: this.#cluster, pressure, clock: runtime.clock, countMax: config.max_request_documents });
  }

  async check(signal: AbortSignal): Promise<Finding[]> {
    return await checkCluster(this.#config, this.#cluster, signal);
  }

  async open(plan: GenerationPlan, signal: AbortSignal): Promise<TargetGeneration> {
    const dialect = await this.#server(signal);
    const cluster = this.#cluster;
    const opened = await openIndex(plan, { cluster, dialect, random: this.#runtime.random, refreshInterval: this.#config.refresh_interval }, signal);
    const onClosed = (closed: OpenSearchGeneration): void => void this.#opened.delete(closed);
    const generation = new OpenSearchGeneration({ plan, opened, cluster, dialect, sender: this.#sender, clock: this.#runtime.clock, onClosed });
    this.#opened.add(generation);
    return generation;
  }

  async generations(signal: AbortSignal): Promise<GenerationListing[]> {
    return await listGenerations(this.#cluster, signal);
  }

  async drop(index: string, generation: number, signal: AbortSignal): Promise<void> {
    const physical = await dropIndex(index, generation, this.#cluster, signal);
    for (const one of this.#opened) {
      if (one.physical !== physical) continue;
      one.markDropped();
      this.#opened.delete(one);
    }
  }

  async search(request: SearchRequest, signal: AbortSignal): Promise<SearchHit[]> {
    return await searchIndex(request, this.#cluster, signal);
  }

  async fetch(index: string, ids: readonly string[], signal: AbortSignal): Promise<(StoredDocument | null)[]> {
    signal.throwIfAborted();
    return await fetchDocuments(index, ids, this.#cluster, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cluster.close();
  }

  /** Asked anew until it answers; a cluster that is upgraded meanwhile is asked at the next start. */
  async #server(signal: AbortSignal): Promise<Dialect> {
    this.#dialect ??= await askDialect(this.#cluster, signal);
    return this.#dialect;
  }
}
