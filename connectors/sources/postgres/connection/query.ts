/** A statement on an ordinary connection with the pinned settings, its values as PostgreSQL's own text. */
import type { CustomTypesConfig } from 'pg';

export type QueryParameter = string | number | bigint | boolean | null | readonly string[] | readonly number[];

/** Values by column name in text form: `t` and `f` for booleans, digits for numbers; nothing is parsed on the way. */
export type QueryRow = Readonly<Record<string, string | null>>;

/**
 * Runs one statement. Statements of one `Query` run one after the other, each in a transaction of its own.
 * Rejects with a catalogued error, or with the signal's reason as soon as it is aborted.
 */
export type Query = (sql: string, parameters: readonly QueryParameter[], signal: AbortSignal) => Promise<QueryRow[]>;

/** Makes pg leave values the text that the server sent. */
export const asText: CustomTypesConfig = { getTypeParser: () => (value: string) => value };
