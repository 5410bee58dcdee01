/** An expression of an index, compiled for one table: type-checked against its columns, evaluated row by row. */
import { EvaluationError, type ParseResult } from '@marcbachmann/cel-js';
import type { ColumnKind, ColumnSchema } from '../change/schema.ts';
import type { Value } from '../change/value.ts';
import { sentence, suggestion } from '../config/nearest.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import { isBareName, typedEnvironment } from './cel-environment.ts';
import { ownFailureCodes, PassCounter } from './cel-functions.ts';
import { ROW_NAME, type RowScope } from './cel-row.ts';
import { elementOfCelType, kindOfCelType, valueOfCel } from './cel-value.ts';
import { type ExpressionSource, type Mentions, mentionsOf, parseInstrumented, placeOf } from './expression-source.ts';

export interface Expression {
  /** CEL type of the result: `bool`, `list<string>`, `dyn`. */
  readonly type: string;
  readonly kind: ColumnKind;
  /** As in `ColumnSchema`. */
  readonly element: ColumnSchema['element'];
  /** Columns that it needs. */
  readonly columns: ReadonlySet<string>;
  /**
   * The result for a row, as CEL has it. It is null when a null or something missing met an operation that needs a value: what SQL calls
   * unknown. Throws DOC_FAILED for every other failure.
   */
  evaluate(scope: RowScope): unknown;
}

/** Compiles an expression that has passed `checkExpression`. Throws SRC_DDL when it does not fit the table. */
export function compileExpression(source: ExpressionSource, table: string, columns: readonly ColumnSchema[]): Expression {
  const passes = new PassCounter();
  const environment = typedEnvironment(columns, passes);
  const plain = environment.parse(source.text);
  const mentions = mentionsOf(plain.ast);
  refuseHiddenColumns(source, mentions, columns);
  const checked = plain.check();
  if (!checked.valid || checked.type === undefined) {
    const place = placeOf(source.text, checked.error?.range?.start);
    throw new TailraceError('SRC_DDL', {
      message: sentence(`${source.setting}${place} does not fit the table ${table}: ${checked.error?.summary ?? 'it has no type'}${advice(checked.error?.summary ?? '', columns)}`),
      entity: source.setting,
    });
  }
  const program = parseInstrumented(environment, source);
  return {
    type: checked.type,
    kind: kindOfCelType(checked.type),
    element: elementOfCelType(checked.type),
    columns: neededColumns(mentions, columns),
    evaluate: (scope) => {
      passes.reset();
      return evaluated(program, scope, source);
    },
  };
}

/** A column that is called like a word of CEL would silently mean the word. */
function refuseHiddenColumns(source: ExpressionSource, mentions: Mentions, columns: readonly ColumnSchema[]): void {
  for (const { name } of columns) {
    if (!mentions.bare.has(name) || isBareName(name)) continue;
    throw new TailraceError('SRC_DDL', { message: `${source.setting}: \`${name}\` is a word of CEL; the column is \`${ROW_NAME}.${name}\`.`, entity: source.setting });
  }
}

function neededColumns(mentions: Mentions, columns: readonly ColumnSchema[]): ReadonlySet<string> {
  const names = columns.map(({ name }) => name);
  return new Set(mentions.wholeRow ? names : names.filter((name) => mentions.bare.has(name) || mentions.ofRow.has(name)));
}

/** The column that was probably meant, or all of them. */
function advice(summary: string, columns: readonly ColumnSchema[]): string {
  const unknown = /^(?:Unknown variable|No such key): (.+)$/.exec(summary)?.[1];
  const near = unknown === undefined ? '' : suggestion(unknown, columns.map(({ name }) => name));
  return near === '' ? ` (its columns are ${listed(columns)})` : near;
}

const LISTED_COLUMNS_MAX = 40;

function listed(columns: readonly ColumnSchema[]): string {
  const names = columns.slice(0, LISTED_COLUMNS_MAX).map(({ name }) => `\`${name}\``);
  return names.join(', ') + (columns.length > LISTED_COLUMNS_MAX ? ', ...' : '');
}

function evaluated(program: ParseResult, scope: RowScope, source: ExpressionSource): unknown {
  try {
    return program(scope);
  } catch (error) {
    // Whatever an expression throws concerns this row only: it is unknown, or a dead letter with a sentence that holds no values.
    if (error instanceof EvaluationError && isUnknown(error)) return null;
    throw new TailraceError('DOC_FAILED', { message: `${source.setting}: ${sentenceOf(error)}.`, entity: source.setting });
  }
}

/** Failures whose sentences name types only. */
const typeFailures: ReadonlySet<string> = new Set([
  'no_such_overload',
  'no_matching_overload',
  'invalid_condition_type',
  'invalid_logical_operand',
  'invalid_comprehension_range',
  'variable_type_mismatch',
  'field_type_mismatch',
]);

/** Failures because a key or an element is not there: null, as SQL's JSON operators have it. */
const missing: ReadonlySet<string> = new Set(['no_such_key', 'index_out_of_bounds']);

const nullType = /\bnull\b/;

function isUnknown(error: EvaluationError): boolean {
  return missing.has(error.code) || (typeFailures.has(error.code) && nullType.test(error.summary));
}

function sentenceOf(error: unknown): string {
  if (!(error instanceof EvaluationError)) return `the expression failed with ${error instanceof Error ? error.name : 'no error'}`;
  if (typeFailures.has(error.code) || ownFailureCodes.has(error.code)) return error.summary;
  return error.code.replaceAll('_', ' ');
}

/** What an expression yielded, as a value of the document. Throws DOC_FAILED for what no document holds. */
export function documentValue(result: unknown, source: ExpressionSource): Value {
  const value = valueOfCel(result);
  if (value !== undefined) return value;
  throw new TailraceError('DOC_FAILED', { message: `${source.setting}: the expression yields something that is no value of a document.`, entity: source.setting });
}
