/** The harness itself: what the other suites assume of their server. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { describePostgres, startPostgres } from './postgres.ts';
import { eventually } from './servers.ts';
import { spawnScript } from './tailrace.ts';

const harness = dirname(fileURLToPath(import.meta.url));

async function identityOf(server: { query(sql: string): Promise<Record<string, unknown>[]> }): Promise<unknown> {
  const [row] = await server.query('SELECT system_identifier::text AS id FROM pg_control_system()');
  return row?.['id'];
}

describePostgres([15, 18], (postgres) => {
  test('the server has the version, the durability and the logical WAL that tests rely on', async () => {
    const server = await postgres.server();
    const [row] = await server.query(`SELECT current_setting('server_version_num')::int / 10000 AS major, current_setting('wal_level') AS wal,
      current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS sync, current_user AS "user", inet_server_addr()::text AS address`);
    expect(row).toEqual({ major: postgres.major, wal: 'logical', fsync: 'on', sync: 'on', user: 'postgres', address: '127.0.0.1/32' });
  });

  test('settings reach the server and ALTER SYSTEM still overrides them', async () => {
    await using server = await startPostgres({ major: postgres.major, settings: { work_mem: '5MB', application_name: "it's" } });
    expect(await server.query('SHOW work_mem')).toEqual([{ work_mem: '5MB' }]);
    await server.query("ALTER SYSTEM SET work_mem = '6MB'");
    await server.stop();
    await server.start();
    expect(await server.query('SHOW work_mem')).toEqual([{ work_mem: '6MB' }]);
  });

  test('what was committed is there after a kill and a start on the same port', async () => {
    await using server = await startPostgres({ major: postgres.major });
    const { port, pid } = server;
    const database = await server.createDatabase();
    await server.query('CREATE TABLE t AS SELECT 7 AS n', database);
    server.kill('SIGKILL');
    await eventually('the server is gone', 10_000, () => !existsSync(`/proc/${pid}`));
    await server.stop();
    await server.start();
    expect(server.port).toBe(port);
    expect(server.pid).not.toBe(pid);
    expect(await server.query('SELECT n FROM t', database)).toEqual([{ n: 7 }]);
  });

  test('two servers have two system identifiers, and a restart keeps its own', async () => {
    await using first = await startPostgres({ major: postgres.major });
    const identity = await identityOf(first);
    expect(await identityOf(await postgres.server())).not.toBe(identity);
    await first.stop('immediate');
    await first.start();
    expect(await identityOf(first)).toBe(identity);
  });

  test('a disposed server leaves neither process nor folder', async () => {
    const server = await startPostgres({ major: postgres.major });
    const { pid, dataDirectory } = server;
    await server[Symbol.asyncDispose]();
    expect(existsSync(dataDirectory)).toBe(false);
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });

  test('a server does not outlive a test process that was killed', async () => {
    const { pid, dataDirectory } = await serverOfKilledProcess(postgres.major);
    await eventually('the folder is gone', 10_000, () => !existsSync(dataDirectory));
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });
});

/** Starts a server in another process, then ends that process with SIGKILL. */
async function serverOfKilledProcess(major: number): Promise<{ pid: number; dataDirectory: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'tailrace-guard-'));
  const script = join(folder, 'start.ts');
  writeFileSync(script, `import { startPostgresProcess } from '${join(harness, 'postgres-process.ts')}';
import { findPostgres } from '${join(harness, 'postgres-find.ts')}';
const place = await findPostgres(${major});
const server = await startPostgresProcess(${major}, place.kind === 'binaries' ? place.binFolder : '', {});
console.log(JSON.stringify({ msg: 'started', pid: server.pid, dataDirectory: server.dataDirectory }));
setInterval(() => {}, 1000);`);
  try {
    await using starter = await spawnScript(script, []);
    const line = await starter.event('started');
    return { pid: Number(line['pid']), dataDirectory: String(line['dataDirectory']) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
