/** Documents from rows: what an index's definition makes of a row, as a pure function of the definition, the schema and the row's bytes. */
import type { RowSchema } from '../change/schema.ts';
import { documentFingerprint } from '../config/fingerprint.ts';
import type { IndexDefinition } from '../config/index-settings.ts';
import type { RowFormat } from '../connector/row-format.ts';
import type { FieldPlan } from '../connector/target.ts';
import { invariant } from '../errors/invariant.ts';
import { codeOf, type TailraceError } from '../errors/tailrace-error.ts';
import { checkExpression } from './expression-source.ts';
import { type BuiltDocument, type RowDocumentBuilder, rowDocumentBuilder } from './row-document.ts';
import { fieldSource, misfits, planRow, rulesOf, whereSource, whereTypes, withTextFields } from './row-plan.ts';
import type { DocumentTransform } from './transform.ts';

interface DocumentDeps {
  /** Reads the rows of the index's source. */
  readonly format: RowFormat;
  /** The table as the source has it now, for `fields`; without it only the fields that the definition names are known. */
  readonly table?: Pick<RowSchema, 'table' | 'columns'> | undefined;
  /** The loaded module of `definition.transform`. */
  readonly transform?: DocumentTransform | undefined;
}

export type { BuiltDocument, RowDocumentBuilder };

export interface DocumentBuilder {
  /** Hash of everything that decides what documents look like: for `GenerationBinding.fingerprint`. */
  readonly fingerprint: string;
  /** Fields that are known beforehand, for the target. */
  readonly fields: readonly FieldPlan[];
  /** The same for rows of one schema. Throws SRC_DDL as `forSchema` does. */
  fieldsOf(schema: RowSchema): readonly FieldPlan[];
  /** Compiles the definition for one schema. Throws SRC_DDL when the schema lacks a column that the definition needs. */
  forSchema(schema: RowSchema): RowDocumentBuilder;
}

/** Checks the expressions of the definition and throws CFG_TRANSFORM for one that cannot be right for any table. */
export function createDocumentBuilder(definition: IndexDefinition, deps: DocumentDeps): DocumentBuilder {
  invariant((definition.transform === undefined) === (deps.transform === undefined), 'an index with a transform is built with its module');
  const [wrong] = expressionProblems(definition);
  if (wrong !== undefined) throw wrong;
  return {
    fingerprint: documentFingerprint(definition, deps.transform?.contentHash),
    fields: knownFields(definition, deps),
    fieldsOf: (schema) => knownFields(definition, { ...deps, table: schema }),
    forSchema(schema) {
      const plan = planRow(definition, schema);
      return rowDocumentBuilder({ definition, schema, plan, format: deps.format, transform: deps.transform });
    },
  };
}

/**
 * Everything that is wrong with a definition, for a preflight: CFG_TRANSFORM for each expression that cannot be right for any table, and with the
 * table SRC_DDL for each thing that it lacks.
 */
export function definitionProblems(definition: IndexDefinition, table: DocumentDeps['table']): TailraceError[] {
  const broken = expressionProblems(definition);
  return table === undefined ? broken : [...broken, ...misfits(definition, table, new Set(broken.flatMap(({ entity }) => entity ?? [])))];
}

function expressionProblems(definition: IndexDefinition): TailraceError[] {
  const where = whereSource(definition);
  const computed = rulesOf(definition).flatMap((rule) => (rule.kind === 'expression' ? [fieldSource(definition, rule.name, rule.expression)] : []));
  return [...(where === undefined ? [] : [{ source: where, types: whereTypes }]), ...computed.map((source) => ({ source, types: undefined }))].flatMap(({ source, types }) => {
    try {
      checkExpression(source, types);
      return [];
    } catch (error) {
      // What is wrong with an expression is what is looked for here.
      if (codeOf(error) !== 'CFG_TRANSFORM') throw error;
      return [error as TailraceError];
    }
  });
}

function knownFields(definition: IndexDefinition, deps: DocumentDeps): readonly FieldPlan[] {
  if (deps.transform !== undefined) return fieldsBehindTransform(definition, deps.table);
  if (deps.table !== undefined) return planRow(definition, deps.table).fields;
  const named = rulesOf(definition).filter((rule) => rule.kind === 'column' || rule.kind === 'expression');
  return withTextFields(
    named.map(({ name }) => ({ name, kind: 'other' })),
    definition.text_fields,
  );
}

/** What a transform returns only its documents show: most likely what it was given, and in any case what the config has it search. */
function fieldsBehindTransform({ text_fields: textFields, ...given }: IndexDefinition, table: DocumentDeps['table']): readonly FieldPlan[] {
  const searched = (textFields ?? []).map((name): FieldPlan => ({ name, kind: 'text', searched: true }));
  if (table === undefined) return searched;
  const likely = planRow(given, table).fields.filter(({ name }) => textFields?.includes(name) !== true);
  return [...searched, ...likely.map((field): FieldPlan => ({ ...field, isLikely: true, ...(textFields === undefined ? {} : { searched: false }) }))];
}
