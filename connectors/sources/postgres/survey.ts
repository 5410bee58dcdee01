/** All tables of a database that are the user's own, each as it would be read, or with what stands in the way: the same findings as those of the preflight. */
import type { SourceContext, TableRequest } from '../../../src/connector/source.ts';
import type { SourceSurvey, SurveyedTable } from '../../../src/connector/survey.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import { describe, typesOf } from './catalog/describe.ts';
import { fullName, readDocument, type CatalogDocument, type CatalogReading, type RelationFacts } from './catalog/document.ts';
import { asPublished, examine } from './catalog/logical-table.ts';
import { readRole } from './check/role.ts';
import { readSettings } from './check/server.ts';
import { readAccess, tableFindings } from './check/tables.ts';
import { defaultSlotName, type PostgresConfig } from './config.ts';
import { ControlConnection } from './connection/control-connection.ts';
import type { Query } from './connection/query.ts';
import { parseUrl } from './connection/settings.ts';
import { MAJOR_MIN, VERSION_MIN } from './slot/server-facts.ts';

/** Relations of the user's own: no partitions, which are read with their tables, nothing of an extension, nothing temporary. */
const RELATIONS = `
  SELECT n.nspname AS schema, c.relname AS name, c.relkind::text AS kind
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e')
  ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"`;

const otherKinds: Readonly<Record<string, readonly [one: string, many: string]>> = {
  v: ['view', 'views'],
  m: ['materialised view', 'materialised views'],
  f: ['foreign table', 'foreign tables'],
};

interface Named {
  readonly schema: string;
  readonly name: string;
  readonly kind: string;
}

export async function surveyPostgres(config: PostgresConfig, { name: source, runtime }: SourceContext, signal: AbortSignal): Promise<SourceSurvey> {
  const publication = defaultSlotName(source);
  const errors = { source, user: parseUrl(config.url.reveal()).user, publication, slot: publication };
  await using control = new ControlConnection({ config, errors, clock: runtime.clock });
  const query: Query = async (sql, parameters, s) => control.query(sql, parameters, s);
  const { version, versionName } = await readSettings(query, signal);
  if (version < VERSION_MIN) throw new TailraceError('SRC_VERSION', { message: `PostgreSQL ${versionName} is too old.`, did: 'Nothing was written.', hint: `Use PostgreSQL ${MAJOR_MIN} or later.` });
  const rows = await query(RELATIONS, [], signal);
  const relations = rows.map((row): Named => ({ schema: row['schema'] ?? '', name: row['name'] ?? '', kind: row['kind'] ?? '' }));
  const [current] = await query('SELECT current_database() AS name', [], signal);
  const tables = await surveyTables(query, relations.filter(({ kind }) => otherKinds[kind] === undefined), publication, signal);
  return { database: current?.['name'] ?? '', tables, others: othersAmong(relations) };
}

function othersAmong(relations: readonly Named[]): string[] {
  return Object.entries(otherKinds).flatMap(([kind, [one, many]]) => {
    const { length } = relations.filter((relation) => relation.kind === kind);
    return length === 0 ? [] : [`${length} ${length === 1 ? one : many}`];
  });
}

async function surveyTables(query: Query, named: readonly Named[], publication: string, signal: AbortSignal): Promise<SurveyedTable[]> {
  // Two tables may have one full name: `a.b` in `c`, and `b` in `c.a`. Neither can be told from the other, which is what is found of both.
  const names = [...new Set(named.map(({ schema, name }) => `${schema}.${name}`))];
  const { document, estimates } = await readDocument(query, names, publication, signal);
  const published = asPublished(document, publication);
  const access = await readAccess(query, published.relations, signal);
  const role = await readRole(query, signal);
  const types = typesOf(document);
  const parts = partsByTable(published, new Set(names));
  return named.map(({ schema, name }): SurveyedTable => {
    const request = { table: `${schema}.${name}` };
    // What is said of a table is found among its own relations: to look through those of thousands of others for each would take minutes.
    const { relations, requests } = parts.get(request.table) ?? { relations: [], requests: [request] };
    const look = { document: { ...published, relations }, estimates, access, role, adds: false };
    const findings = tableFindings(look, request, requests).filter(({ level }) => level !== 'ok');
    return { schema, name, shape: describe(look.document, request, requests, types)?.schema ?? null, estimatedRows: estimateOf(look, request, requests), findings };
  });
}

/** The relations of each table, and the tables that are asked for among them. */
function partsByTable({ relations }: CatalogDocument, names: ReadonlySet<string>): ReadonlyMap<string, { readonly relations: readonly RelationFacts[]; readonly requests: readonly TableRequest[] }> {
  const byRoot = new Map<number, RelationFacts[]>();
  for (const relation of relations) {
    for (const root of relation.roots) {
      const parts = byRoot.get(root);
      if (parts === undefined) byRoot.set(root, [relation]);
      else parts.push(relation);
    }
  }
  const roots = Map.groupBy(relations.filter(({ oid, roots: of }) => of.includes(oid)), (relation) => fullName(relation));
  return new Map(
    [...roots].map(([table, own]) => {
      const parts = [...new Set(own.flatMap(({ oid }) => byRoot.get(oid) ?? []))];
      return [table, { relations: parts, requests: parts.map((relation) => ({ table: fullName(relation) })).filter((request) => names.has(request.table)) }];
    }),
  );
}

/** The server's own; null when it has none of some part. */
export function estimateOf({ document, estimates }: Pick<CatalogReading, 'document' | 'estimates'>, request: TableRequest, requests: readonly TableRequest[]): number | null {
  const leaves = examine(document, request, requests).table?.leaves ?? [];
  const counts = leaves.map(({ relation }) => estimates[relation.oid] ?? -1);
  return counts.length === 0 || counts.some((count) => count < 0) ? null : Math.round(counts.reduce((sum, count) => sum + count, 0));
}
