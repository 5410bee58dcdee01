/** The server's own code of an error, which the catalogued error carries as its cause. */

/** Five characters, `42P01`; undefined for what did not come from the server. */
export function sqlStateOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('cause' in error)) return undefined;
  const { cause } = error;
  if (typeof cause !== 'object' || cause === null || !('code' in cause)) return undefined;
  return typeof cause.code === 'string' && /^[0-9A-Z]{5}$/.test(cause.code) ? cause.code : undefined;
}

/** undefined_table, undefined_column, invalid_schema_name, undefined_object: what was asked for is not what the catalog said. */
export const CATALOG_CHANGED: ReadonlySet<string> = new Set(['42P01', '42703', '3F000', '42704']);
