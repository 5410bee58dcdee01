/** The one registry: what `type` in a config names. */
import type { Connectors } from '../src/connector/registry.ts';
import { sqliteTarget } from './targets/sqlite/index.ts';

export const connectors = {
  sources: { },
  targets: { sqlite: sqliteTarget },
} as const satisfies Connectors;
