/**
 * The engine in this process between a real Postgres and a real OpenSearch or Elasticsearch, with a proxy before the latter and a clock that may
 * run faster than the wall's: what the acceptance tests of the target stand on.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { connectors } from '../../connectors/index.ts';
import type { ConfigInput } from '../../src/config/config-schema.ts';
import { defineConfig } from '../../src/config/define.ts';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import { startPipeline } from '../../src/pipeline/start.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import type { LogFields, Logger } from '../../src/runtime/logger.ts';
import { nodeClock } from '../../src/runtime/node/clock.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import { startFaultProxy, type OpenSearchFaultProxy } from './opensearch-fault-proxy.ts';
import type { OpenSearchServer } from './opensearch.ts';
import type { PostgresServer } from './postgres.ts';

/** How long an index may take to come into step, on a machine that does other things. */
export const CATCH_UP_MS = 90_000;

export interface LoggedLine extends LogFields {
  readonly level: string;
  readonly event: string;
}

interface Held {
  readonly id: string;
  readonly document: Record<string, unknown>;
}

/** In the order of ids. */
function byId(held: readonly Held[]): Record<string, Record<string, unknown>> {
  return Object.fromEntries(held.toSorted((a, b) => (a.id < b.id ? -1 : 1)).map(({ id, document }) => [id, document]));
}

export interface StartOptions {
  /** Instead of the scene's own. */
  readonly folder?: string;
  /** Where the server of the source is reached, instead of its own port. */
  readonly sourcePort?: number;
  /** The url of the target, instead of the proxy's. */
  readonly search?: string;
  /** Of the target, beside type and url. */
  readonly target?: Readonly<Record<string, unknown>>;
  readonly log?: ConfigInput['log'];
  /** Time passes this many times as fast. */
  readonly timesFaster?: number;
}

export class AcceptanceScene implements AsyncDisposable {
  readonly node: OpenSearchServer;
  readonly proxy: OpenSearchFaultProxy;
  readonly sql: Client;
  /** Holds data directories; removed with everything in it. */
  readonly folder: string;
  /** Of all pipelines that were started. */
  readonly lines: LoggedLine[] = [];
  readonly #postgres: string;
  /** Replication slots belong to the whole server. */
  readonly #slot: string;

  private constructor(node: OpenSearchServer, proxy: OpenSearchFaultProxy, sql: Client, folder: string, postgres: string) {
    this.node = node;
    this.proxy = proxy;
    this.sql = sql;
    this.folder = folder;
    this.#postgres = postgres;
    this.#slot = new URL(postgres).pathname.slice(1).toLowerCase().replaceAll(/[^a-z0-9_]/g, '_');
  }

  /** An empty database, and an empty search server behind a proxy. */
  static async open(node: OpenSearchServer, postgres: PostgresServer): Promise<AcceptanceScene> {
    await node.clear();
    const url = postgres.url(await postgres.createDatabase());
    const sql = new Client({ connectionString: url });
    await sql.connect();
    return new AcceptanceScene(node, await startFaultProxy(node.url), sql, await mkdtemp(join(tmpdir(), 'tailrace-acceptance-')), url);
  }

  async start(indices: ConfigInput['indices'], { folder = join(this.folder, 'data'), sourcePort, search = this.proxy.url, target = {}, log, timesFaster = 1 }: StartOptions = {}): Promise<Pipeline> {
    const url = new URL(this.#postgres);
    if (sourcePort !== undefined) url.port = String(sourcePort);
    const config = defineConfig(
      {
        data_directory: folder,
        sources: { shop: { type: 'postgres', url: url.href, slot: this.#slot } },
        targets: { search: { type: 'opensearch', url: search, refresh_interval: '100ms', ...target } },
        indices: Object.fromEntries(Object.entries(indices).map(([name, index]) => [name, { to: 'search', ...index }])),
        ...(log === undefined ? {} : { log }),
      },
      { connectors },
    );
    const runtime = { ...nodeRuntime(this.#logger()), clock: timesFaster === 1 ? nodeClock : fasterClock(timesFaster) };
    return startPipeline(config, { connectors, runtime, version: 'test', pid: process.pid, loadTransform: async () => undefined });
  }

  /** What an index, or a generation's, holds: documents by id. */
  async documents(index: string): Promise<Record<string, Record<string, unknown>>> {
    await this.node.ask('POST', `/${index}/_refresh`);
    const answer = (await this.node.ask('POST', `/${index}/_search`, { size: 10_000 })) as { readonly hits: { readonly hits: readonly { readonly _id: string; readonly _source: Record<string, unknown> }[] } };
    return byId(answer.hits.hits.map(({ _id: id, _source: document }) => ({ id, document })));
  }

  /** The same, with the documents that the table makes by itself. */
  async rows(table: string, key = 'id'): Promise<Record<string, Record<string, unknown>>> {
    const { rows } = await this.sql.query(`SELECT ${key}::text AS id, to_jsonb(t) AS document FROM ${table} t`);
    return byId(rows as Held[]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sql.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active AND database = current_database()');
    await this.sql.end();
    await this.proxy[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }

  #logger(fields: LogFields = {}): Logger {
    const line = (level: string) => (event: string, more?: LogFields): void => void this.lines.push({ level, event, ...fields, ...more });
    return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error'), child: (more) => this.#logger({ ...fields, ...more }) };
  }
}

export const within = (ms = CATCH_UP_MS): AbortSignal => AbortSignal.timeout(ms);

/** Of which so many milliseconds pass in one of the wall's. */
function fasterClock(times: number): Clock {
  return {
    nowMs: () => nodeClock.nowMs(),
    monotonicMs: () => nodeClock.monotonicMs() * times,
    sleep: (ms, signal) => nodeClock.sleep(ms / times, signal),
    schedule: (ms, task) => nodeClock.schedule(ms / times, task),
  };
}
