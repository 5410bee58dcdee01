/** Preflight: everything that a session needs of the server, looked at without changing anything, each lack with the statement that mends it. */
import type { Finding } from '../../../../src/connector/finding.ts';
import type { TableRequest } from '../../../../src/connector/source.ts';
import type { Clock } from '../../../../src/runtime/clock.ts';
import { fullName, readDocument } from '../catalog/document.ts';
import { asPublished } from '../catalog/logical-table.ts';
import type { PostgresConfig } from '../config.ts';
import { ControlConnection } from '../connection/control-connection.ts';
import type { Query } from '../connection/query.ts';
import type { ErrorContext } from '../connection/server-error.ts';
import { createStatement } from '../slot/publication.ts';
import { slotFacts, slotSql } from '../slot/slot.ts';
import { problemOf } from './findings.ts';
import { publicationFindings } from './publication.ts';
import { readRole, replicationFinding, type RoleFacts } from './role.ts';
import { readSettings, serverFindings } from './server.ts';
import { slotFindings, transactionFindings, unreadSlotFindings } from './slot.ts';
import { readAccess, tableFindings } from './tables.ts';

interface CheckDeps {
  readonly config: PostgresConfig;
  readonly clock: Clock;
  /** Names of the source, its user, slot and publication. */
  readonly errors: Omit<ErrorContext, 'doing'>;
  /** Transactions that have been open for so many seconds are warned of; by default a minute. */
  readonly longOpenS?: number | undefined;
}

const LONG_OPEN_S = 60;

/** Looks at a source. Rejects only when it is told to stop, or with what is no fault of the database. */
export async function checkPostgres(deps: CheckDeps, tables: readonly TableRequest[], signal: AbortSignal): Promise<Finding[]> {
  await using control = new ControlConnection(deps);
  const query: Query = async (sql, parameters, s) => control.query(sql, parameters, s);
  const { errors, config } = deps;
  let role: RoleFacts;
  try {
    role = await readRole(query, signal);
  } catch (error) {
    signal.throwIfAborted();
    return [problemOf('connection', error)];
  }
  const settings = await readSettings(query, signal);
  const [slotRow] = await query(slotSql(errors.slot), [], signal);
  const findings: Finding[] = serverFindings(settings, config, slotFacts(slotRow) !== null);
  if (findings.some((finding) => finding.subject === 'version' && finding.level === 'problem')) return findings;
  const replication = replicationFinding(role);
  findings.push(replication);
  const database = (await query('SELECT current_database() AS name', [], signal))[0]?.['name'] ?? '';
  if (!settings.inRecovery && replication.level === 'ok') findings.push(...(await slotFindings({ ...deps, source: errors.source, slot: errors.slot, database, version: settings.version, encoding: 'UTF8' }, signal)));
  if (!settings.inRecovery) findings.push(...(await unreadSlotFindings(query, errors.slot, signal)));
  findings.push(...(await tableSideFindings(deps, query, role, tables, signal)));
  return [...findings, ...(await transactionFindings(query, deps.longOpenS ?? LONG_OPEN_S, signal))];
}

async function tableSideFindings(deps: CheckDeps, query: Query, role: RoleFacts, tables: readonly TableRequest[], signal: AbortSignal): Promise<Finding[]> {
  const { publication } = deps.errors;
  const reading = await readDocument(query, tables.map((table) => table.table), publication, signal);
  const { document } = reading;
  const access = await readAccess(query, document.relations, signal);
  const roots = document.relations.filter((relation) => relation.roots.includes(relation.oid));
  const findings = publicationFindings({
    name: publication,
    document,
    role,
    create: deps.config.create,
    statement: createStatement({ publication, requests: tables }, document),
    notOwned: roots.filter((relation) => access.get(relation.oid)?.owned === false).map(fullName),
  });
  const [owner] = await query(`SELECT pg_has_role(pubowner, 'USAGE') AS owned FROM pg_publication WHERE pubname = $1`, [publication], signal);
  const look = {
    document: document.publication === null ? asPublished(document, publication) : document,
    estimates: reading.estimates,
    access,
    role,
    adds: deps.config.create && owner?.['owned'] === 't',
  };
  const spellings = await otherSpellings(query, tables.map((table) => table.table).filter((name) => !roots.some((root) => fullName(root) === name)), signal);
  return [...findings, ...tables.flatMap((table) => tableFindings(look, table, tables).map((finding) => (finding.code === 'SRC_TABLE_MISSING' ? withSpelling(finding, spellings.get(table.table)) : finding)))];
}

/** Tables whose names differ from these by the case of letters only: SQL folds what is not quoted, the config says names as they are. */
async function otherSpellings(query: Query, missing: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
  if (missing.length === 0) return new Map();
  const rows = await query(
    `SELECT asked.name AS asked, min(n.nspname || '.' || c.relname) AS found FROM unnest($1::text[]) AS asked(name)
     JOIN pg_class c ON c.relkind IN ('r', 'p') JOIN pg_namespace n ON n.oid = c.relnamespace AND lower(n.nspname || '.' || c.relname) = lower(asked.name) GROUP BY 1`,
    [missing],
    signal,
  );
  return new Map(rows.map((row) => [row['asked'] ?? '', row['found'] ?? '']));
}

function withSpelling(finding: Finding, spelling: string | undefined): Finding {
  return spelling === undefined ? finding : { ...finding, message: `${finding.message.replace(/\.$/, '')}; did you mean \`${spelling}\`?` };
}
