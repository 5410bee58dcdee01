/** The config's schema with the settings of every real connector. */
import { connectors as registered } from '../../connectors/index.ts';
import { postgresConfigSchema } from '../../connectors/sources/postgres/config.ts';
import { defineConfigSchema } from '../../src/config/config-schema.ts';

export const connectors = {
  sources: { ...registered.sources, postgres: { configSchema: postgresConfigSchema } },
  targets: registered.targets,
};

export const schema = defineConfigSchema(connectors);
