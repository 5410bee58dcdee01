/** A database of a real Postgres server for the tests of the source contract. */
import { escapeIdentifier, escapeLiteral, Client } from 'pg';
import { postgresSource } from '../../connectors/sources/postgres/index.ts';
import type { Source } from '../../src/connector/source.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import type { Row, SourceFixture, Write } from '../contract/source-fixture.ts';
import type { PostgresServer } from './postgres.ts';

const tables = { items: 'public.items', others: 'public.others', foreign: 'public.foreign' } as const;

let databases = 0;

/** Opens a new database with its tables; disposing drops the slot. */
export async function postgresFixture(server: PostgresServer): Promise<SourceFixture> {
  databases += 1;
  const slot = `contract_${server.major}_${databases}`;
  const database = await server.createDatabase();
  for (const table of Object.values(tables)) {
    await server.query(`CREATE TABLE ${quoted(table)} (id text PRIMARY KEY, name text, body text)`, database);
    // Large values lie out of line, whole: an update that leaves them as they were does not send them.
    await server.query(`ALTER TABLE ${quoted(table)} ALTER body SET STORAGE EXTERNAL`, database);
  }
  const clients: Client[] = [];
  const open = async (): Promise<Client> => {
    const client = new Client({ connectionString: server.url(database) });
    client.on('error', () => {});
    await client.connect();
    clients.push(client);
    return client;
  };
  const idle: Client[] = [];
  const transaction = async (writes: readonly Write[]): Promise<Client> => {
    const client = idle.pop() ?? (await open());
    await client.query(['BEGIN', ...writes.map((write) => statementOf(write))].join(';\n'));
    return client;
  };
  const commit = async (client: Client): Promise<void> => {
    await client.query('COMMIT');
    idle.push(client);
  };
  return {
    tables,
    source: (): Source => {
      const config = postgresSource.configSchema.parse({ type: 'postgres', url: server.url(database), slot, publication: slot });
      return postgresSource.create(config, { name: 'contract', runtime: nodeRuntime(silentLogger) });
    },
    commit: async (writes) => commit(await transaction(writes)),
    begin: async (writes) => {
      const client = await transaction(writes);
      return { commit: async () => commit(client) };
    },
    rows: async (table) => (await server.query(`SELECT id, name, body FROM ${quoted(table)}`, database)) as unknown as Row[],
    conditions: { nameIs: (name) => `name = '${name}'`, broken: 'name = = 1' },
    rewrite: async (table) => void (await server.query(`VACUUM FULL ${quoted(table)}`, database)),
    // A slot's place moves on to records of the transactions that are running, which a checkpoint writes.
    tidy: async () => void (await server.query('CHECKPOINT')),
    cut: async () => void (await server.query(`SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = ${escapeLiteral(slot)} AND active`)),
    [Symbol.asyncDispose]: async () => {
      for (const client of clients) await client.end();
      // A slot holds back the whole server.
      await server.query(`SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = ${escapeLiteral(slot)} AND NOT active`);
    },
  };
}

function quoted(table: string): string {
  return table.split('.').map((part) => escapeIdentifier(part)).join('.');
}

function statementOf(write: Write): string {
  const table = quoted(write.table);
  switch (write.kind) {
    case 'insert': {
      const { id, name, body } = write.row;
      return `INSERT INTO ${table} VALUES (${[id, name, body].map((value) => literal(value)).join(', ')})`;
    }
    case 'update':
      return `UPDATE ${table} SET ${Object.entries(write.set).map(([column, value]) => `${escapeIdentifier(column)} = ${literal(value)}`).join(', ')} WHERE id = ${literal(write.id)}`;
    case 'rename':
      return `UPDATE ${table} SET id = ${literal(write.to)} WHERE id = ${literal(write.id)}`;
    case 'delete':
      return `DELETE FROM ${table} WHERE id = ${literal(write.id)}`;
    case 'truncate':
      return `TRUNCATE ${table}`;
  }
}

function literal(value: string | null): string {
  return value === null ? 'NULL' : escapeLiteral(value);
}
