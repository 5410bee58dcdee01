/** The Postgres source. */
import type { SourceConnector } from '../../../src/connector/registry.ts';
import { postgresConfigSchema, type PostgresConfig } from './config.ts';
import { PostgresSource } from './source.ts';
import { surveyPostgres } from './survey.ts';
import { postgresFormat } from './types/row-format.ts';

export const postgresSource: SourceConnector<PostgresConfig> = {
  type: 'postgres',
  configSchema: postgresConfigSchema,
  format: postgresFormat,
  create: (config, context) => new PostgresSource(config, context),
  surveyor: { urlSchemes: ['postgres', 'postgresql'], survey: surveyPostgres },
};
