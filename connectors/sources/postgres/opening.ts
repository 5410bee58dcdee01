/**
 * Opens a session: who the server is, whether its history continues ours, what the tables look like. Nothing is read before all of that
 * is known, and whatever was opened is closed again when something stands in the way.
 */
import type { ConnectRequest } from '../../../src/connector/source.ts';
import { codeOf } from '../../../src/errors/tailrace-error.ts';
import type { Runtime } from '../../../src/runtime/runtime.ts';
import { Catalog } from './catalog/catalog.ts';
import { decodeKnown } from './catalog/known-tables.ts';
import type { PostgresConfig } from './config.ts';
import { backendActivity, cancelBackend, type BackendActivity } from './connection/backend.ts';
import { ControlConnection } from './connection/control-connection.ts';
import type { Query } from './connection/query.ts';
import { ReplicationConnection } from './connection/replication-connection.ts';
import type { ErrorContext } from './connection/server-error.ts';
import { parseUrl, type ClientEncoding } from './connection/settings.ts';
import { encodePosition, parseLsn, recordEnd } from './position.ts';
import { PostgresSession, type TableReading } from './session.ts';
import { openHistory } from './slot/history.ts';
import { identifySystem, readServerFacts, type ServerFacts } from './slot/server-facts.ts';
import { versionFlaw } from './slot/version-flaws.ts';
import type { ReadDeps } from './snapshot/read-deps.ts';
import { CatalogWatch } from './stream/catalog-watch.ts';
import { beginVisibility } from './stream/visibility-upkeep.ts';
import { openRawConnection } from './wire/raw-connection.ts';
import type { OpenRawConnection } from './wire/raw-query.ts';

/** How long the end of an abandoned query is waited for. */
const CANCEL_WITHIN_MS = 1_000;

export interface OpeningDeps {
  readonly source: string;
  readonly runtime: Runtime;
  readonly config: PostgresConfig;
  readonly slot: string;
  readonly publication: string;
  readonly createReading: (deps: ReadDeps) => TableReading;
  /** Whether another connection that reads from the slot is ended. */
  readonly takeOver?: boolean | undefined;
  /** Pause between looks at the catalog, silence after which the server is asked about a query, and bound for waiting on locks; all have defaults. */
  readonly catalogLookEveryMs?: number | undefined;
  readonly silentMs?: number | undefined;
  readonly lockTimeoutMs?: number | undefined;
}

/** Names for error messages. The user's is read anew, because the url may have changed. */
export function errorNames(deps: Pick<OpeningDeps, 'source' | 'config' | 'slot' | 'publication'>): Omit<ErrorContext, 'doing'> {
  return { source: deps.source, user: parseUrl(deps.config.url.reveal()).user, publication: deps.publication, slot: deps.slot };
}

export async function openSession(deps: OpeningDeps, request: ConnectRequest, signal: AbortSignal): Promise<PostgresSession> {
  const { config, runtime } = deps;
  await using opened = new AsyncDisposableStack();
  const errors = errorNames(deps);
  const control = opened.use(new ControlConnection({ config, errors, clock: runtime.clock }));
  const query: Query = async (sql, parameters, s) => control.query(sql, parameters, s);
  const server = await readServerFacts(query, deps.source, request.resume !== null, signal);
  const logger = runtime.logger.child({ source: deps.source });
  const flaw = versionFlaw(server.version);
  if (flaw !== null) logger.warn('server_version_flawed', { version: server.version, flaw: flaw.message, sound_from: flaw.soundFrom });
  await control.useEncoding(server.encoding);
  const replication = { config, errors, clock: runtime.clock, encoding: server.encoding, lockTimeoutMs: deps.lockTimeoutMs };
  const connection = opened.use(await ReplicationConnection.open(replication, signal));
  const system = await identifySystem(connection, signal);
  const { source, slot, publication } = deps;
  const names = { source, slot, publication, requests: request.tables, create: config.create };
  const history = await openHistory({ ...names, control, query, connection, server, system, clock: runtime.clock, logger, takeOver: deps.takeOver ?? false, beginnings: request.beginnings }, request.resume, signal);
  const remembered = request.resume === null || request.resume.state === null ? null : decodeKnown(request.resume.state);
  const { catalog, changes } = await Catalog.open(query, request.tables, { publication, known: remembered ?? undefined }, signal);
  const endOfLog = async (s: AbortSignal): Promise<bigint> => endOfLogNow(query, server, s);
  const watch = new CatalogWatch({ catalog, query, endOfLog, clock: runtime.clock, logger, lookEveryMs: deps.catalogLookEveryMs }, remembered);
  for (const { table, reason, reread } of changes) logger.info('table_changed', { table, reason, reread });
  await watch.opened(changes, signal);
  const visibility = await beginVisibility(query, request.logged, signal);
  const { timeline } = system;
  const reading = deps.createReading({
    source,
    catalog,
    visibility,
    query,
    refreshCatalog: async (s) => watch.refresh(s),
    open: rawConnections(deps, query, server.encoding, errors),
    positionOf: (insertLsn) => positionOfInsert(insertLsn, server, timeline),
    clock: runtime.clock,
    random: runtime.random,
    logger,
  });
  opened.use(reading.completer);
  opened.use(reading.snapshots);
  return new PostgresSession({ source, runtime, config, slot, publication, server, timeline, history, opened: opened.move(), query, connection, catalog, watch, visibility, reading });
}

async function endOfLogNow(query: Query, server: ServerFacts, signal: AbortSignal): Promise<bigint> {
  const [row] = await query('SELECT pg_catalog.pg_current_wal_insert_lsn() AS inserted', [], signal);
  return recordEnd(parseLsn(row?.['inserted'] ?? ''), server.geometry);
}

function positionOfInsert(insertLsn: string, server: ServerFacts, timeline: number): Uint8Array {
  return encodePosition(recordEnd(parseLsn(insertLsn), server.geometry), timeline);
}

function rawConnections(deps: OpeningDeps, query: Query, encoding: ClientEncoding, errors: Omit<ErrorContext, 'doing'>): OpenRawConnection {
  const { config, runtime } = deps;
  const cancel = async (pid: number): Promise<void> => {
    try {
      await cancelBackend(query, pid, AbortSignal.timeout(CANCEL_WITHIN_MS));
    } catch (error) {
      // The query ends anyway when it next has something to send; nothing waits for it.
      runtime.logger.debug('cancel_failed', { source: deps.source, code: codeOf(error) ?? 'UNKNOWN' });
    }
  };
  const activity = async (pid: number, s: AbortSignal): Promise<BackendActivity> => backendActivity(query, pid, s);
  return async (signal) => openRawConnection({ config, errors, encoding, cancel, activity, silentMs: deps.silentMs, clock: runtime.clock }, signal);
}
