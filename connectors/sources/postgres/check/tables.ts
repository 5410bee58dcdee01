/** The tables: that they can be read at all, how their rows are told apart, whether the user sees all of them. */
import type { Finding } from '../../../../src/connector/finding.ts';
import type { TableRequest } from '../../../../src/connector/source.ts';
import { fullName, type CatalogDocument, type CatalogReading, type RelationFacts } from '../catalog/document.ts';
import { examine, type LogicalTable } from '../catalog/logical-table.ts';
import { quoteIdentifier, quoteQualified } from '../connection/identifier.ts';
import type { Query } from '../connection/query.ts';
import { fine, problemOf, warning } from './findings.ts';
import type { RoleFacts } from './role.ts';

/** What the user may see of a relation. */
interface Access {
  readonly owned: boolean;
  readonly schemaUsage: boolean;
  /** The whole table; otherwise only `columns`. */
  readonly select: boolean;
  readonly columns: ReadonlySet<string>;
  /** Row security hides rows from the user. */
  readonly rowsHidden: boolean;
}

const ACCESS = `
  SELECT c.oid, pg_has_role(c.relowner, 'USAGE') AS owned, has_schema_privilege(c.relnamespace, 'USAGE') AS schema_usage, has_table_privilege(c.oid, 'SELECT') AS selectable,
    row_security_active(c.oid) AS rows_hidden,
    (SELECT json_agg(a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped AND has_column_privilege(c.oid, a.attnum, 'SELECT')) AS columns
  FROM pg_class c WHERE c.oid = ANY ($1::int8[]::oid[])`;

export async function readAccess(query: Query, relations: readonly RelationFacts[], signal: AbortSignal): Promise<ReadonlyMap<number, Access>> {
  const rows = await query(ACCESS, [relations.map((relation) => relation.oid)], signal);
  return new Map(
    rows.map((row) => [
      Number(row['oid']),
      {
        owned: row['owned'] === 't',
        schemaUsage: row['schema_usage'] === 't',
        select: row['selectable'] === 't',
        columns: new Set(JSON.parse(row['columns'] ?? '[]') as string[]),
        rowsHidden: row['rows_hidden'] === 't',
      },
    ]),
  );
}

interface TableLook {
  /** With the publication as it is, or as it will be made. */
  readonly document: CatalogDocument;
  readonly estimates: CatalogReading['estimates'];
  readonly access: ReadonlyMap<number, Access>;
  readonly role: RoleFacts;
  /** Tables that the publication does not send are added to it at the start: the setting `create`, and the user owns the publication. */
  readonly adds: boolean;
}

export function tableFindings(given: TableLook, request: TableRequest, requests: readonly TableRequest[]): Finding[] {
  const subject = `table ${request.table}`;
  const look = { ...given, document: withAdded(given, request, requests) };
  const { table, problems, root } = examine(look.document, request, requests);
  const findings = problems.map((problem) => problemOf(subject, problem));
  if (root === null) return findings;
  const relations = table === null ? [root] : [...new Set([...table.leaves.map((leaf) => leaf.relation), table.root])];
  for (const relation of relations) findings.push(...accessFindings(look, subject, relation, sentColumns(table, relation)));
  if (table === null) return findings;
  const added = look.document === given.document ? '' : '; it will be added to the publication at the start';
  if (findings.length === 0) findings.push(fine(subject, `${describe(look, table)}${added}`));
  return [...findings, ...keyFindings(subject, table), ...childFindings(look, subject, table)];
}

/** The document as it will be when a table that is not sent, and may be added, has been. */
function withAdded({ document, access, adds }: TableLook, request: TableRequest, requests: readonly TableRequest[]): CatalogDocument {
  const { problems, root } = examine(document, request, requests);
  if (!adds || root === null || document.publication === null || root.published_as !== null || access.get(root.oid)?.owned !== true) return document;
  if (!problems.some((problem) => problem.code === 'SRC_PUBLICATION')) return document;
  const asRoot = document.publication.via_root && root.kind === 'p';
  const sent = (relation: RelationFacts): boolean => (asRoot ? relation === root : relation.roots.includes(root.oid) && relation.kind !== 'p');
  return { ...document, relations: document.relations.map((relation) => (sent(relation) && relation.published === null ? { ...relation, published: { columns: null, filter: null } } : relation)) };
}

/** Columns that are read of a relation, its rows' places among them. */
function sentColumns(table: LogicalTable | null, relation: RelationFacts): string[] {
  const leaf = table?.leaves.find((candidate) => candidate.relation === relation) ?? table?.leaves[0];
  return ['ctid', ...(leaf?.columns ?? relation.columns).map((column) => column.name)];
}

function accessFindings({ access, role }: TableLook, subject: string, relation: RelationFacts, columns: readonly string[]): Finding[] {
  const may = access.get(relation.oid);
  if (may === undefined) return [];
  const name = quoteQualified(relation.namespace, relation.name);
  const findings: Finding[] = [];
  const refuse = (message: string, fix: string): void => {
    findings.push({ level: 'problem', subject, code: 'SRC_GRANT', message, fix });
  };
  if (!may.schemaUsage) refuse(`${role.name} may not look into schema ${relation.namespace}`, `GRANT USAGE ON SCHEMA ${quoteIdentifier(relation.namespace)} TO ${role.name};`);
  const unreadable = may.select ? [] : columns.filter((column) => !may.columns.has(column));
  if (unreadable.length > 0) {
    const which = unreadable.length === columns.length ? fullName(relation) : `${unreadable.join(', ')} of ${fullName(relation)}`;
    const what = unreadable.length === columns.length ? '' : ` (${unreadable.map(quoteIdentifier).join(', ')})`;
    refuse(`${role.name} may not read ${which}`, `GRANT SELECT${what} ON ${name} TO ${role.name};`);
  }
  if (may.rowsHidden) {
    const message = `row security hides rows of ${fullName(relation)} from ${role.name}: a snapshot would miss them`;
    findings.push({ level: 'problem', subject, code: 'SRC_RLS', message, fix: `ALTER ROLE ${role.name} BYPASSRLS;` });
  }
  return findings;
}

function describe({ estimates }: TableLook, table: LogicalTable): string {
  const key = table.key.length === 0 ? 'the whole row is the key' : `key (${table.key.join(', ')})`;
  const parts = table.root.kind === 'p' ? `, ${table.leaves.length} ${table.leaves.length === 1 ? 'partition' : 'partitions'}` : '';
  const rows = table.leaves.reduce((sum, leaf) => sum + Math.max(0, estimates[leaf.relation.oid] ?? 0), 0);
  const counted = rows > 0 ? `, about ${Math.round(rows)} rows` : '';
  const filters = [...new Set(table.leaves.flatMap((leaf) => (leaf.filter === null ? [] : [leaf.filter])))];
  return `${key}${parts}${counted}${filters.length === 0 ? '' : `, rows where ${filters.join(' or ')}`}`;
}

/** A key that the server does not keep unique lets rows replace each other in the index. */
function keyFindings(subject: string, { root, key, leaves }: LogicalTable): Finding[] {
  if (key.length === 0) return [warning(subject, 'it has no key: rows that are alike are one document, and each delete of one costs a scan of the table', 'Give the table a primary key.')];
  const unique = [root, ...leaves.map((leaf) => leaf.relation)].every((relation) => relation.indexes?.some((index) => index.columns.every((column) => key.includes(column))) ?? false);
  return unique ? [] : [warning(subject, `no unique index guards the key (${key.join(', ')}): rows that share one replace each other in the index`)];
}

/** Old-style inheritance: what of it is read is not what a SELECT shows, and keys are not unique across it. */
function childFindings({ document }: TableLook, subject: string, table: LogicalTable): Finding[] {
  if (table.root.kind === 'p') return [];
  const children = document.relations.filter((relation) => relation !== table.root && relation.roots.includes(table.root.oid));
  const read = children.filter((relation) => table.members.has(relation.oid));
  const unread = children.filter((relation) => !table.members.has(relation.oid));
  const findings: Finding[] = [];
  if (read.length > 0) findings.push(warning(subject, `${read.map(fullName).join(', ')} inherit from it and are read with it: a key that occurs in two of them is one document`));
  if (unread.length > 0) findings.push(warning(subject, `${unread.map(fullName).join(', ')} inherit from it and are not read with it`));
  return findings;
}
