/** The source's own control connection to a test server: what the catalog and the checks ask their questions through. */
import { ControlConnection } from '../../connectors/sources/postgres/connection/control-connection.ts';
import type { Query, QueryRow } from '../../connectors/sources/postgres/connection/query.ts';
import { postgresConfigSchema, type PostgresConfig } from '../../connectors/sources/postgres/config.ts';
import { nodeClock } from '../../src/runtime/node/clock.ts';

export const never = new AbortController().signal;

export function testConfig(url: string, settings: Readonly<Record<string, unknown>> = {}): PostgresConfig {
  return postgresConfigSchema.parse({ type: 'postgres', url, ...settings });
}

export interface TestControl extends AsyncDisposable {
  readonly query: Query;
  /** Runs one statement and gives its rows. */
  ask(sql: string): Promise<QueryRow[]>;
}

export function openControl(config: PostgresConfig): TestControl {
  const control = new ControlConnection({ config, clock: nodeClock, errors: { source: 'test', user: 'postgres', publication: 'tailrace_test', slot: 'tailrace_test' } });
  return {
    query: async (sql, parameters, signal) => control.query(sql, parameters, signal),
    ask: async (sql) => control.query(sql, [], never),
    [Symbol.asyncDispose]: async () => control[Symbol.asyncDispose](),
  };
}
