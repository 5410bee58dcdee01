/** What the user may do: read the log, and make what is missing. Reading the tables is looked at with the tables. */
import type { Finding } from '../../../../src/connector/finding.ts';
import type { Query } from '../connection/query.ts';
import { fine } from './findings.ts';

export interface RoleFacts {
  /** Quoted as needed, ready for a statement. */
  readonly name: string;
  readonly superuser: boolean;
  readonly replication: boolean;
  readonly isRds: boolean;
  /** Member of `rds_replication`. */
  readonly rdsReplication: boolean;
  /** May make publications in the database. */
  readonly createInDatabase: boolean;
  readonly database: string;
}

const ROLE = `
  SELECT quote_ident(r.rolname) AS name, r.rolsuper AS superuser, r.rolreplication AS replication,
    (SELECT pg_has_role(r.oid, g.oid, 'USAGE') FROM pg_roles g WHERE g.rolname = 'rds_replication') AS rds_replication,
    has_database_privilege(r.oid, current_database(), 'CREATE') AS create_in_database, quote_ident(current_database()) AS database
  FROM pg_roles r WHERE r.rolname = current_user`;

export async function readRole(query: Query, signal: AbortSignal): Promise<RoleFacts> {
  const [row] = await query(ROLE, [], signal);
  return {
    name: row?.['name'] ?? '',
    superuser: row?.['superuser'] === 't',
    replication: row?.['replication'] === 't',
    isRds: row?.['rds_replication'] !== null,
    rdsReplication: row?.['rds_replication'] === 't',
    createInDatabase: row?.['create_in_database'] === 't',
    database: row?.['database'] ?? '',
  };
}

export function replicationFinding(role: RoleFacts): Finding {
  const { name, superuser, replication, isRds, rdsReplication } = role;
  if (superuser || replication || rdsReplication) return fine('role', `${name} may read the log`);
  const fix = isRds ? `GRANT rds_replication TO ${name};` : `ALTER ROLE ${name} REPLICATION;`;
  return { level: 'problem', subject: 'role', code: 'SRC_GRANT', message: `${name} may not read the log`, fix };
}
