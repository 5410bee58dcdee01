/** The config's schema with the real connectors' settings. */
import { postgresConfigSchema } from '../../connectors/sources/postgres/config.ts';
import { sqliteTarget } from '../../connectors/targets/sqlite/index.ts';
import { defineConfigSchema } from '../../src/config/config-schema.ts';

export const connectors = {
  sources: { postgres: { configSchema: postgresConfigSchema } },
  targets: { sqlite: sqliteTarget },
};

export const schema = defineConfigSchema(connectors);
