/** The publication: there and sending every kind of change, or one that we can make. What it sends of each table is looked at with the tables. */
import type { Finding } from '../../../../src/connector/finding.ts';
import type { CatalogDocument } from '../catalog/document.ts';
import { quoteIdentifier } from '../connection/identifier.ts';
import { fine, warning } from './findings.ts';
import type { RoleFacts } from './role.ts';

interface PublicationPlan {
  readonly name: string;
  readonly document: CatalogDocument;
  readonly role: RoleFacts;
  /** The setting `create`. */
  readonly create: boolean;
  /** What makes it for all tables. */
  readonly statement: string;
  /** Tables, as they are named in messages, that the user does not own and so cannot publish. */
  readonly notOwned: readonly string[];
}

export function publicationFindings(plan: PublicationPlan): Finding[] {
  const { publication } = plan.document;
  if (publication === null) return [missingFinding(plan)];
  const subject = `publication ${publication.name}`;
  const name = quoteIdentifier(publication.name);
  const unsent = (['insert', 'update', 'delete', 'truncate'] as const).filter((kind) => !publication[kind]);
  if (unsent.length > 0) {
    const fix = `ALTER PUBLICATION ${name} SET (publish = 'insert, update, delete, truncate');`;
    return [{ level: 'problem', subject, code: 'SRC_PUBLICATION', message: `it does not send every kind of change: ${unsent.join(', ')} ${unsent.length === 1 ? 'is' : 'are'} missing`, fix }];
  }
  const findings = [fine(subject, publication.all_tables ? 'it sends all tables' : 'it sends every kind of change')];
  if (!publication.via_root && plan.document.relations.some((relation) => relation.kind === 'p')) {
    const message = 'it sends partitions as tables of their own: a partition that is added later is read only when it is noticed';
    findings.push(warning(subject, message, `ALTER PUBLICATION ${name} SET (publish_via_partition_root = true);`));
  }
  return findings;
}

function missingFinding({ name, role, create, statement, notOwned }: PublicationPlan): Finding {
  const subject = `publication ${name}`;
  if (!create) return { level: 'problem', subject, code: 'SRC_PUBLICATION', message: 'it does not exist, and `create` is off', fix: statement };
  if (role.superuser || (role.createInDatabase && notOwned.length === 0)) return fine(subject, 'it will be made at the first start');
  const may = role.createInDatabase ? `${role.name} does not own ${notOwned.join(', ')}` : `${role.name} may not make publications in ${role.database}`;
  const grant = role.createInDatabase || notOwned.length > 0 ? '' : `GRANT CREATE ON DATABASE ${role.database} TO ${role.name};\nor `;
  return { level: 'problem', subject, code: 'SRC_PUBLICATION', message: `it does not exist, and ${may}`, fix: `${grant}as the owner of the tables: ${statement}` };
}
