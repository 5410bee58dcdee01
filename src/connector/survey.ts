/** What a source says of itself to somebody who has no config yet: which tables could be indexed, and what stands in the way of the others. */
import type { DeclaredSchema } from '../change/schema.ts';
import type { Finding } from './finding.ts';
import type { SourceContext } from './source.ts';

export interface SurveyedTable {
  /** The two parts of its full name. */
  readonly schema: string;
  readonly name: string;
  /** Null for a table that cannot be read as it is: a finding says why. */
  readonly shape: DeclaredSchema | null;
  /** The server's own estimate; null when it has none. */
  readonly estimatedRows: number | null;
  /** Warnings and problems; with a problem the table cannot be indexed as it is. */
  readonly findings: readonly Finding[];
}

export interface SourceSurvey {
  /** What the database is called. */
  readonly database: string;
  /** In the order of their names. */
  readonly tables: readonly SurveyedTable[];
  /** What there is besides that nothing can be indexed from, in words: `2 views`. */
  readonly others: readonly string[];
}

/** For `tailrace init`, which is given a url and nothing else. */
export interface SourceSurveyor<Config> {
  /** How urls of such a source begin, without the colon: `postgres`. */
  readonly urlSchemes: readonly string[];
  /** Looks at all tables that are the user's own; nothing is changed. */
  survey(config: Config, context: SourceContext, signal: AbortSignal): Promise<SourceSurvey>;
}
