/** An index's definition resolved against one table: which columns are read, which fields the document gets, in which order. */
import type { ColumnSchema, RowSchema } from '../change/schema.ts';
import type { FieldRule, IndexDefinition } from '../config/index-settings.ts';
import { sentence, suggestion } from '../config/nearest.ts';
import type { FieldPlan } from '../connector/target.ts';
import { codeOf, TailraceError } from '../errors/tailrace-error.ts';
import { compileExpression, type Expression } from './expression.ts';
import type { ExpressionSource } from './expression-source.ts';

export type OutputField =
  | { readonly kind: 'column'; readonly name: string; /** Place in `RowPlan.columns`. */ readonly slot: number }
  | { readonly kind: 'expression'; readonly name: string; readonly source: ExpressionSource; readonly expression: Expression };

export interface RowPlan {
  /** Columns to decode, in the table's order. */
  readonly columns: readonly ColumnSchema[];
  readonly outputs: readonly OutputField[];
  readonly fields: readonly FieldPlan[];
  readonly where: Expression | undefined;
}

/** CEL types that `where` may have; with `dyn` the row decides. */
export const whereTypes = ['bool', 'dyn<bool>', 'dyn'] as const;

const everyColumn: readonly FieldRule[] = [{ kind: 'all' }];

export function rulesOf(definition: IndexDefinition): readonly FieldRule[] {
  return definition.fields ?? everyColumn;
}

export function whereSource(definition: IndexDefinition): ExpressionSource | undefined {
  return definition.where === undefined ? undefined : { text: definition.where, setting: `indices.${definition.name}.where` };
}

export function fieldSource(definition: IndexDefinition, name: string, expression: string): ExpressionSource {
  return { text: expression, setting: `indices.${definition.name}.fields.${name}` };
}

/** Throws SRC_DDL when the table does not have what the definition needs. */
export function planRow(definition: IndexDefinition, schema: Pick<RowSchema, 'table' | 'columns'>): RowPlan {
  const resolution = new Resolution(definition, schema);
  for (const column of definition.key ?? []) resolution.requireColumn(column, 'key');
  const where = resolution.where();
  const drafts = rulesOf(definition).flatMap((rule) => resolution.drafts(rule));
  const needed = new Set<string>(where?.columns);
  for (const draft of drafts) for (const name of draft.expression === undefined ? [draft.column] : draft.expression.columns) needed.add(name);
  const columns = schema.columns.filter(({ name }) => needed.has(name));
  const outputs = drafts.map((draft): OutputField => {
    if (draft.expression !== undefined) return { kind: 'expression', name: draft.name, source: draft.source, expression: draft.expression };
    return { kind: 'column', name: draft.name, slot: columns.findIndex(({ name }) => name === draft.column) };
  });
  const fields = outputs.map((output): FieldPlan => {
    const { kind, element } = output.kind === 'column' ? (columns[output.slot] as ColumnSchema) : output.expression;
    return { name: output.name, kind, ...(element === undefined ? {} : { element }) };
  });
  resolution.requireTextFields(fields);
  return { columns, outputs, fields: withTextFields(fields, definition.text_fields), where };
}

/** Everything that stands between the definition and the table, one SRC_DDL each. `broken`: settings whose expression is known to be wrong for any table. */
export function misfits(definition: IndexDefinition, schema: Pick<RowSchema, 'table' | 'columns'>, broken: ReadonlySet<string>): TailraceError[] {
  const resolution = new Resolution(definition, schema);
  const found: TailraceError[] = [];
  const attempt = (work: () => unknown): void => {
    try {
      work();
    } catch (error) {
      // What the table lacks is what is looked for here.
      if (codeOf(error) !== 'SRC_DDL') throw error;
      found.push(error as TailraceError);
    }
  };
  for (const column of definition.key ?? []) attempt(() => resolution.requireColumn(column, 'key'));
  if (!broken.has(whereSource(definition)?.setting ?? '')) attempt(() => resolution.where());
  for (const rule of rulesOf(definition)) {
    if (rule.kind !== 'expression' || !broken.has(fieldSource(definition, rule.name, rule.expression).setting)) attempt(() => resolution.drafts(rule));
  }
  // Only a whole plan knows all fields.
  if (found.length === 0 && broken.size === 0) attempt(() => planRow(definition, schema));
  return found;
}

/** Where `text_fields` is given, search looks into those fields and no others. */
export function withTextFields(fields: readonly FieldPlan[], textFields: readonly string[] | undefined): readonly FieldPlan[] {
  return textFields === undefined ? fields : fields.map((field) => ({ ...field, searched: textFields.includes(field.name) }));
}

type Draft =
  | { readonly name: string; readonly column: string; readonly expression?: undefined }
  | { readonly name: string; readonly source: ExpressionSource; readonly expression: Expression };

class Resolution {
  readonly #definition: IndexDefinition;
  readonly #schema: Pick<RowSchema, 'table' | 'columns'>;
  readonly #columns: ReadonlySet<string>;
  /** Names that rules claim: `all` leaves them to those. */
  readonly #claimed: ReadonlySet<string>;

  constructor(definition: IndexDefinition, schema: Pick<RowSchema, 'table' | 'columns'>) {
    this.#definition = definition;
    this.#schema = schema;
    this.#columns = new Set(schema.columns.map(({ name }) => name));
    this.#claimed = new Set(rulesOf(definition).flatMap((rule) => (rule.kind === 'all' ? [] : [rule.name])));
  }

  where(): Expression | undefined {
    const source = whereSource(this.#definition);
    if (source === undefined) return undefined;
    const where = compileExpression(source, this.#schema.table, this.#schema.columns);
    if ((whereTypes as readonly string[]).includes(where.type)) return where;
    throw new TailraceError('SRC_DDL', { message: `${source.setting} yields ${where.type} for the table ${this.#schema.table}; expected bool.`, entity: source.setting });
  }

  drafts(rule: FieldRule): readonly Draft[] {
    switch (rule.kind) {
      case 'omit':
        return [];
      case 'all':
        return this.#schema.columns.filter(({ name }) => !this.#claimed.has(name)).map(({ name }) => ({ name, column: name }));
      case 'column':
        this.requireColumn(rule.column, `fields.${rule.name}`);
        return [{ name: rule.name, column: rule.column }];
      case 'expression': {
        const source = fieldSource(this.#definition, rule.name, rule.expression);
        return [{ name: rule.name, source, expression: compileExpression(source, this.#schema.table, this.#schema.columns) }];
      }
    }
  }

  /** A transform may add fields, so that nothing can be said of them beforehand. */
  requireTextFields(fields: readonly FieldPlan[]): void {
    if (this.#definition.transform !== undefined) return;
    const missing = this.#definition.text_fields?.find((name) => !fields.some((field) => field.name === name));
    if (missing !== undefined) throw this.#misfit('text_fields', `names \`${missing}\`, which documents from the table ${this.#schema.table} do not have${suggestion(missing, fields.map(({ name }) => name))}`);
  }

  requireColumn(column: string, setting: string): void {
    if (!this.#columns.has(column)) throw this.#misfit(setting, `needs the column \`${column}\`, which the table ${this.#schema.table} does not have${suggestion(column, [...this.#columns])}`);
  }

  #misfit(setting: string, what: string): TailraceError {
    const entity = `indices.${this.#definition.name}.${setting}`;
    return new TailraceError('SRC_DDL', { message: sentence(`${entity} ${what}`), entity });
  }
}
