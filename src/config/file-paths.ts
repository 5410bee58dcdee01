/** Paths of files among the settings of connectors: the schema marks them, and relative ones begin at the folder of the config file. */
import type { JsonSchema } from './json-schema.ts';

/** The settings with every path that `schema` marks replaced by what `absolute` makes of it. */
export function withFilePaths(settings: unknown, schema: JsonSchema, absolute: (path: string) => string): unknown {
  if (schema.file === true && typeof settings === 'string') return absolute(settings);
  if (schema.properties === undefined || typeof settings !== 'object' || settings === null) return settings;
  const { properties } = schema;
  return Object.fromEntries(Object.entries(settings).map(([name, value]: [string, unknown]) => [name, withFilePaths(value, properties[name] ?? {}, absolute)]));
}
