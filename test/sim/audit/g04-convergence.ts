/** G4 (and G7, whose snapshots are part of it): in the end an index is exactly what the source has, ids and versions included. */
import { versionOf } from '../../../src/change/seq.ts';
import type { GenerationRecord } from '../../../src/state/state-store.ts';
import type { SimDatabase } from '../source/sim-database.ts';
import type { IndexPlan } from '../world/plan.ts';
import { expectedFromLog, expectedFromSource } from './expected-index.ts';
import type { Findings } from './findings.ts';
import type { KeptDocuments } from './kept-documents.ts';
import type { LogBook } from './log-book.ts';
import { fieldsOf, sameFields } from './rendering.ts';

export interface ConvergenceSubject {
  readonly index: IndexPlan;
  readonly record: GenerationRecord;
  readonly kept: KeptDocuments;
  readonly epoch: number;
  readonly database: SimDatabase;
  readonly book: LogBook;
  /** Ids of parked documents. */
  readonly letters: ReadonlySet<string>;
}

export function auditConvergence(findings: Findings, subject: ConvergenceSubject): void {
  auditAgainstLog(findings, subject);
  if (!findings.any) auditAgainstSource(findings, subject);
}

/** The last change of each document in the log is what the target has, with that change's version. */
function auditAgainstLog(findings: Findings, { index, record, kept, epoch, book, letters }: ConvergenceSubject): void {
  const expected = expectedFromLog(book, record, index);
  const name = `${record.index} ${record.generation}`;
  for (const [id, { seq, rendered }] of expected) {
    const document = kept.get(id);
    const version = versionOf(epoch, seq);
    if (rendered.kind === 'poison') {
      findings.expect('G11', letters.has(id), () => `${name}: the refused document ${id} (seq ${seq}) is parked nowhere`);
      findings.expect('G4', document === undefined || (document.version < version && document.document === null), () => `${name}: ${id} was refused with seq ${seq}, and is there with ${document?.version}`);
      continue;
    }
    findings.expect('G11', !letters.has(id), () => `${name}: ${id} is still parked, though seq ${seq} made it whole`);
    if (rendered.kind === 'filtered') {
      findings.expect('G4', document === undefined || document.document === null, () => `${name}: ${id} is there, though seq ${seq} left it out`);
      continue;
    }
    findings.expect('G4', document?.version === version, () => `${name}: ${id} has version ${document?.version ?? '(none)'} instead of ${version} (seq ${seq})`);
    if (typeof document?.document === 'string') findings.expect('G4', sameFields(fieldsOf(document.document), rendered.fields), () => `${name}: ${id} is ${document.document}, by the log it is ${JSON.stringify(rendered.fields)}`);
  }
  for (const [id, { document, version }] of kept) {
    if (document === null || expected.has(id)) continue;
    findings.add('G4', `${name}: ${id} is there with version ${version}, though by the log it is gone`);
  }
}

/** The target has what an independent query of the source gives. */
function auditAgainstSource(findings: Findings, { index, record, kept, database, letters }: ConvergenceSubject): void {
  const expected = expectedFromSource(database, index);
  const name = `${record.index} ${record.generation}`;
  for (const [id, rendered] of expected) {
    if (rendered.kind === 'poison') {
      findings.expect('G11', letters.has(id), () => `${name}: the row ${id} makes no document, and is parked nowhere`);
      findings.expect('G4', (kept.get(id)?.document ?? null) === null, () => `${name}: the row ${id} makes no document, and an older one is there`);
      continue;
    }
    const document = kept.get(id)?.document ?? null;
    if (rendered.kind === 'filtered') findings.expect('G4', document === null, () => `${name}: ${id} is there, though its row is left out`);
    else findings.expect('G4', document !== null && sameFields(fieldsOf(document), rendered.fields), () => `${name}: ${id} is ${document ?? 'missing'}, its row is ${JSON.stringify(rendered.fields)}`);
  }
  for (const [id, { document }] of kept) {
    if (document !== null && !expected.has(id)) findings.add('G4', `${name}: ${id} is there, though the source has no such row`);
  }
}
