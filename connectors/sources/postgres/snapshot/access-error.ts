/** What the server's refusal to show a table means: row security and missing grants share one SQLSTATE, and texts in any language. */
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import type { RelationFacts } from '../catalog/document.ts';
import { quoteIdentifier, quoteQualified } from '../connection/identifier.ts';
import type { Query } from '../connection/query.ts';

export const INSUFFICIENT_PRIVILEGE = '42501';

/** SRC_RLS or SRC_GRANT, with the statement that mends it: the server is asked which it is. */
export async function accessError(query: Query, source: string, relation: RelationFacts, cause: unknown, signal: AbortSignal): Promise<TailraceError> {
  const name = quoteQualified(relation.namespace, relation.name);
  const [row] = await query('SELECT row_security_active($1::int8::oid) AS hidden, quote_ident(current_user) AS role', [relation.oid], signal);
  const role = row?.['role'] ?? 'the user';
  const entity = `${source}.${relation.namespace}.${relation.name}`;
  if (row?.['hidden'] === 't') {
    return new TailraceError('SRC_RLS', { message: `Row security hides rows of ${name} from ${role}: a read would miss them.`, hint: `ALTER ROLE ${role} BYPASSRLS;`, entity, cause });
  }
  const hint = `GRANT USAGE ON SCHEMA ${quoteIdentifier(relation.namespace)} TO ${role}; GRANT SELECT ON ${name} TO ${role};`;
  return new TailraceError('SRC_GRANT', { message: `${role} may not read ${name}.`, hint, entity, cause });
}
