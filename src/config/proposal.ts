/**
 * The indices that a database's tables suggest: a name for each, the fields that search looks into, the columns that have no place in an index.
 * A proposal is read by a person before it is used, so where it cannot know it leaves out what would be worse to have.
 */
import { keyColumns, type ColumnSchema } from '../change/schema.ts';
import type { Finding } from '../connector/finding.ts';
import type { SurveyedTable } from '../connector/survey.ts';
import { invariant } from '../errors/invariant.ts';
import { NAME_LENGTH_MAX, nameProblem } from './names.ts';

export interface LeftOutColumn {
  readonly column: string;
  readonly reason: string;
}

export interface ProposedIndex {
  readonly index: string;
  readonly schema: string;
  readonly table: string;
  /** Columns that identify a row; empty when all of the row does. */
  readonly key: readonly string[];
  readonly estimatedRows: number | null;
  readonly textFields: readonly string[];
  readonly leftOut: readonly LeftOutColumn[];
  readonly warnings: readonly Finding[];
}

/** A table that cannot be indexed as it is, with the name that its index would have. */
export interface UnfitTable {
  readonly index: string;
  readonly schema: string;
  readonly table: string;
  readonly problems: readonly Finding[];
}

export interface Proposal {
  readonly indices: readonly ProposedIndex[];
  readonly unfit: readonly UnfitTable[];
}

/** What a target has against an index's name beside those before it: `TargetConnector.nameProblem`. */
export type TargetNameProblem = (index: string, others: readonly string[]) => string | undefined;

export function propose(tables: readonly SurveyedTable[], targetProblem: TargetNameProblem = () => undefined): Proposal {
  const indices: ProposedIndex[] = [];
  const unfit: UnfitTable[] = [];
  const taken: string[] = [];
  for (const { schema, name, shape, estimatedRows, findings } of tables) {
    const index = indexName(schema, name, taken, targetProblem);
    taken.push(index);
    const problems = findings.filter(({ level }) => level === 'problem');
    if (shape === null || problems.length > 0) {
      unfit.push({ index, schema, table: name, problems });
      continue;
    }
    const leftOut = shape.columns.flatMap((column) => leftOutColumn(column));
    const omitted = new Set(leftOut.map(({ column }) => column));
    const textFields = shape.columns.filter((column) => isProse(column) && !omitted.has(column.name)).map((column) => column.name);
    indices.push({ index, schema, table: name, key: keyColumns(shape).map((column) => column.name), estimatedRows, textFields, leftOut, warnings: findings });
  }
  return { indices, unfit };
}

/** What an index is called whose table's name has no letter that it may have. */
const ANY_TABLE = 'table';

/** Names that a config has another use for at the place of a field. */
const unnameable = new Set(['*', '__proto__']);

/** What a column with such a name holds is meant to be known to few. */
const secretName = /(^|_)(passw(or)?d|passwd|pwd|passphrase|secret|token|salt|api_?key|private_?key|password_?hash|otp|totp)(s|_|$)/;

/** A document keeps key columns whatever they hold: its id shows them anyway. */
function leftOutColumn({ name, kind, sourceType, keyOrdinal }: ColumnSchema): LeftOutColumn[] {
  if (keyOrdinal > 0 || unnameable.has(name)) return [];
  if (kind === 'bytes') return [{ column: name, reason: sourceType }];
  return secretName.test(words(name)) ? [{ column: name, reason: 'by its name a secret' }] : [];
}

/** Keys are looked up, not searched. */
function isProse({ kind, keyOrdinal, name }: ColumnSchema): boolean {
  return kind === 'text' && keyOrdinal === 0 && !unnameable.has(name);
}

/** `OrderLines` is `order_lines`. */
function words(name: string): string {
  return name.replaceAll(/([\p{Ll}\d])(\p{Lu})/gu, '$1_$2').toLowerCase();
}

/** A name that config and target take, and that no table before has: the table's own as far as it goes. */
function indexName(schema: string, table: string, taken: readonly string[], targetProblem: TargetNameProblem): string {
  const own = plain(table);
  const withSchema = `${plain(schema)}_${own}`.slice(0, NAME_LENGTH_MAX);
  const isFree = (name: string): boolean => nameProblem(name) === undefined && !taken.includes(name) && targetProblem(name, taken) === undefined;
  for (const name of [own, withSchema]) if (isFree(name)) return name;
  // A target may keep names that begin like this one for itself, but none like the last; each index before is in the way of two at most.
  for (const base of [withSchema, own, ANY_TABLE]) {
    for (let number = 2; number <= 2 * taken.length + 2; number += 1) {
      const suffix = `_${number}`;
      const name = `${base.slice(0, NAME_LENGTH_MAX - suffix.length)}${suffix}`;
      if (isFree(name)) return name;
    }
  }
  invariant(false, `there is a name for the index of ${JSON.stringify(`${schema}.${table}`)}`);
}

/** The name in letters that every source and index may have, or `otherwise` when there is none; accents are dropped, other letters are not spelled out. */
export function plain(name: string, otherwise = ANY_TABLE): string {
  const letters = words(name.normalize('NFKD').replaceAll(/\p{M}/gu, '')).replaceAll(/[^a-z0-9_]+/g, '_').replace(/^[^a-z]+/, '').replace(/_+$/, '');
  return letters === '' ? otherwise : letters.slice(0, NAME_LENGTH_MAX);
}
