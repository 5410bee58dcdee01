/** The names that an expression may use: the columns of a table, typed, under CEL's own rules for identifiers. */
import { Environment } from '@marcbachmann/cel-js';
import type { ColumnSchema } from '../change/schema.ts';
import { addFunctions, type PassCounter } from './cel-functions.ts';
import { CelRow, ROW_NAME } from './cel-row.ts';
import { celTypeOf } from './cel-value.ts';

/** Structural limits of one expression. */
const limits = { maxAstNodes: 2000, maxDepth: 64, maxListElements: 1000, maxMapEntries: 1000, maxCallArguments: 32 };

/** An environment in which every name is a variable of unknown type: for what can be checked before the table is known. */
export function untypedEnvironment(passes: PassCounter): Environment {
  const environment = new Environment({ unlistedVariablesAreDyn: true, homogeneousAggregateLiterals: false, limits });
  addFunctions(environment, passes);
  return environment;
}

/** An environment whose variables are the columns, nullable ones as `dyn<T>`: checked as T, and null where the row has none. */
export function typedEnvironment(columns: readonly ColumnSchema[], passes: PassCounter): Environment {
  const environment = new Environment({ homogeneousAggregateLiterals: false, limits });
  addFunctions(environment, passes);
  const types = Object.create(null) as Record<string, string>;
  for (const column of columns) types[column.name] = variableType(column);
  environment.registerType('Row', { ctor: CelRow, fields: types });
  environment.registerVariable(ROW_NAME, 'Row');
  for (const column of columns) {
    if (isBareName(column.name)) environment.registerVariable(column.name, variableType(column));
  }
  return environment;
}

function variableType(column: ColumnSchema): string {
  const type = celTypeOf(column.kind);
  return type === 'dyn' || !column.nullable ? type : `dyn<${type}>`;
}

const identifier = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Identifiers that CEL keeps for itself, its type names included. */
const words: ReadonlySet<string> = new Set(
  ('as break const continue else false for function if import in let loop namespace null package prototype return true var void while __proto__ ' +
    `bool bytes cel double google int list map null_type optional string type uint ${ROW_NAME}`).split(' '),
);

/** True for a column that expressions may name as it is; all others are reached as `row.NAME` or `row["NAME"]`. */
export function isBareName(name: string): boolean {
  return identifier.test(name) && !words.has(name);
}
