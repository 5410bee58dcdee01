/** The one registry: what `type` in a config names. */
import type { Connectors } from '../src/connector/registry.ts';
import { postgresSource } from './sources/postgres/index.ts';
import { openSearchTarget } from './targets/opensearch/index.ts';
import { sqliteTarget } from './targets/sqlite/index.ts';

export const connectors = {
  sources: { postgres: postgresSource },
  targets: { opensearch: openSearchTarget, sqlite: sqliteTarget },
} as const satisfies Connectors;
