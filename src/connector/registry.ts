/** What a connector's folder exports, and the set of them that a pipeline is built with. The one real set is `connectors/index.ts`. */
import type { ZodType } from 'zod';
import type { RowFormat } from './row-format.ts';
import type { Source, SourceContext } from './source.ts';
import type { SourceSurveyor } from './survey.ts';
import type { IndexOptions, Target, TargetContext } from './target.ts';

export interface SourceConnector<Config = unknown> {
  /** The `type` in the config: `postgres`. */
  readonly type: string;
  /** Settings of its own, `type` included; a strict object. */
  readonly configSchema: ZodType<Config>;
  /** Reads what its sources wrote to the log, without any connection. */
  readonly format: RowFormat;
  create(config: Config, context: SourceContext): Source;
  /** A source without it is written into a config by hand. */
  readonly surveyor?: SourceSurveyor<Config> | undefined;
}

export interface TargetConnector<Config = unknown> {
  readonly type: string;
  readonly configSchema: ZodType<Config>;
  /** What is wrong with an index's name at such a target beside others that it holds, as part of a sentence; undefined when nothing is. */
  readonly nameProblem?: ((index: string, others: readonly string[]) => string | undefined) | undefined;
  /** Why no document can have a field of this name at such a target, as part of a sentence; undefined when it can. */
  readonly fieldProblem?: ((field: string) => string | undefined) | undefined;
  /** What an index may say with `mapping` and `settings`; a strict object. A target without it takes neither. */
  readonly indexSchema?: ZodType<IndexOptions> | undefined;
  create(config: Config, context: TargetContext): Target;
}

export interface Connectors {
  readonly sources: Readonly<Record<string, SourceConnector>>;
  readonly targets: Readonly<Record<string, TargetConnector>>;
}
