/** The connector `type: opensearch`: indices in a cluster of OpenSearch (2.19, 3.x) or Elasticsearch (8, 9). */
import type { Target, TargetContext } from '../../../src/connector/target.ts';
import { openSearchConfigSchema, openSearchIndexSchema, type OpenSearchConfig } from './config.ts';
import { fieldProblem, nameProblem } from './names.ts';
import { OpenSearchTarget } from './target.ts';

export const openSearchTarget = {
  type: 'opensearch',
  configSchema: openSearchConfigSchema,
  indexSchema: openSearchIndexSchema,
  nameProblem,
  fieldProblem,
  create(config: OpenSearchConfig, { name, runtime }: TargetContext): Target {
    return new OpenSearchTarget({ name, config, runtime });
  },
} as const;
