import { expect, test } from 'vitest';
import { describePostgres } from './postgres.ts';
import { openClient, Streaming } from './postgres-stream-harness.ts';

describePostgres([15, 18], (postgres) => {
  async function fresh(sql: string): Promise<{ url: string; run: (sql: string) => Promise<Record<string, unknown>[]> }> {
    const server = await postgres.server();
    const database = await server.createDatabase();
    const run = async (statement: string): Promise<Record<string, unknown>[]> => server.query(statement, database);
    await run(sql);
    return { url: server.url(database), run };
  }

  test('inserts, updates and deletes arrive as whole rows with their keys, in the order of commits', async () => {
    const { url, run } = await fresh('CREATE TABLE products (id int PRIMARY KEY, name text, price numeric)');
    await using stream = await Streaming.open({ url, tables: ['public.products'], config: { slot: `s_${postgres.major}_basic` } });
    await run("INSERT INTO products VALUES (1, 'lamp', 12.50), (2, NULL, NULL)");
    await run("UPDATE products SET name = 'desk lamp' WHERE id = 1");
    await run('DELETE FROM products WHERE id = 2');
    await stream.caughtUp();
    expect(stream.sink.rows()).toEqual([
      { op: 'insert', flags: 0, table: 'public.products', key: ['1'], row: { id: '1', name: 'lamp', price: '12.50' }, incomplete: false },
      { op: 'insert', flags: 0, table: 'public.products', key: ['2'], row: { id: '2', name: null, price: null }, incomplete: false },
      { op: 'update', flags: 0, table: 'public.products', key: ['1'], row: { id: '1', name: 'desk lamp', price: '12.50' }, incomplete: false },
      { op: 'delete', flags: 0, table: 'public.products', key: ['2'], row: null, incomplete: false },
    ]);
    expect(stream.sink.of('commit')).toHaveLength(3);
  });

  test('a transaction that rolls back, in whole or to a savepoint, leaves nothing of it', async () => {
    const { url } = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    await using stream = await Streaming.open({ url, tables: ['public.t'], config: { slot: `s_${postgres.major}_rollback` } });
    await using client = await openClient(url);
    await client.query('BEGIN; INSERT INTO t VALUES (1); ROLLBACK');
    await client.query('BEGIN; INSERT INTO t VALUES (2); SAVEPOINT a; INSERT INTO t VALUES (3); ROLLBACK TO a; INSERT INTO t VALUES (4); COMMIT');
    await stream.caughtUp();
    expect(stream.sink.rows().map((change) => change.key)).toEqual([['2'], ['4']]);
  });
});
