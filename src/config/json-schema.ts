/** The config as a JSON Schema: for editors, for the reference, and for the names that are known at a place. */
import { z } from 'zod';
import type { Path } from './problem.ts';

/** The parts of JSON Schema that the config's schema uses. */
export interface JsonSchema {
  readonly type?: string | undefined;
  readonly description?: string | undefined;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[] | undefined;
  readonly properties?: Readonly<Record<string, JsonSchema>> | undefined;
  readonly additionalProperties?: JsonSchema | boolean | undefined;
  readonly items?: JsonSchema | undefined;
  readonly required?: readonly string[] | undefined;
  readonly oneOf?: readonly JsonSchema[] | undefined;
  readonly anyOf?: readonly JsonSchema[] | undefined;
  readonly minimum?: number | undefined;
  readonly maximum?: number | undefined;
  /** Set for what must never be printed. */
  readonly secret?: boolean | undefined;
  /** Set for the path of a file. */
  readonly file?: boolean | undefined;
}

/** JSON Schema, draft 7, of what users write. */
export function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: 'input', target: 'draft-7', unrepresentable: 'any' }) as JsonSchema;
}

/** Names of the settings that are known at a path; `tree` decides between alternatives by their `type`. */
export function namesAt(root: JsonSchema, path: Path, tree: unknown): readonly string[] {
  let schemas: readonly JsonSchema[] = alternatives(root, tree);
  let value = tree;
  for (const part of path) {
    value = typeof value === 'object' && value !== null ? (value as Record<string | number, unknown>)[part] : undefined;
    const inner = value;
    schemas = schemas.flatMap((schema) => childrenOf(schema, part)).flatMap((schema) => alternatives(schema, inner));
  }
  return [...new Set(schemas.flatMap(({ properties }) => Object.keys(properties ?? {})))];
}

function childrenOf({ properties, additionalProperties, items }: JsonSchema, part: string | number): readonly JsonSchema[] {
  if (typeof part === 'number') return items === undefined ? [] : [items];
  const named = properties?.[part];
  if (named !== undefined) return [named];
  return typeof additionalProperties === 'object' ? [additionalProperties] : [];
}

function alternatives(schema: JsonSchema, value: unknown): readonly JsonSchema[] {
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices === undefined) return [schema];
  const type = typeof value === 'object' && value !== null && 'type' in value ? value.type : undefined;
  const named = choices.filter(({ properties }) => properties?.['type']?.const === type && type !== undefined);
  return (named.length > 0 ? named : choices).flatMap((choice) => alternatives(choice, value));
}
