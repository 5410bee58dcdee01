import { execFile } from 'node:child_process';
import { appendFile, chmod, chown, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describePostgres, startPostgres, type PostgresServer } from './postgres.ts';
import { connect, Streaming, type SourceOptions } from './postgres-stream-harness.ts';

const run = promisify(execFile);

describePostgres([15, 18], (postgres) => {
  let server: PostgresServer;
  let folder: string;
  let database: string;

  beforeAll(async () => {
    server = await startPostgres({ major: postgres.major });
    folder = await mkdtemp(join(tmpdir(), 'tailrace-tls-'));
    const { uid, gid } = await stat(server.dataDirectory);
    const file = (name: string): string => join(server.dataDirectory, name);
    const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    await run('openssl', [...request, '-keyout', file('server.key'), '-out', file('server.crt')]);
    await run('cp', [file('server.crt'), join(folder, 'ca.pem')]);
    for (const name of ['server.key', 'server.crt']) {
      await chown(file(name), uid, gid);
      await chmod(file(name), 0o600);
    }
    await appendFile(file('postgresql.conf'), 'ssl = on\n');
    await appendFile(file('pg_hba.conf'), '');
    await server.query('SELECT pg_reload_conf()');
    database = await server.createDatabase();
    await server.query('CREATE TABLE t (id int PRIMARY KEY, filler text)', database);
  });

  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  function options(host: string, tls: Record<string, unknown>): SourceOptions {
    const url = new URL(server.url(database));
    url.hostname = host;
    return { url: url.href, tables: ['public.t'], config: { tls } };
  }

  test('an encrypted stream is the same stream, and pauses and goes on like any other', async () => {
    const stream = await Streaming.open(options('localhost', { mode: 'verify-full', ca: join(folder, 'ca.pem') }));
    await using _ = stream;
    stream.sink.countOnly = true;
    stream.sink.congestAt = 500;
    const [row] = await server.query("SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE backend_type = 'walsender'");
    expect(row).toEqual({ ssl: true });
    await server.query("INSERT INTO t SELECT i, repeat('x', 300) FROM generate_series(1, 50000) i", database);
    await stream.until('the sink is congested', (sink) => sink.congested);
    stream.sink.setCongested(false);
    await stream.until('all is there', (sink) => sink.changes === 50_000);
  });

  test('a certificate that is not trusted, or is another host\'s, is refused', async () => {
    const ca = join(folder, 'ca.pem');
    await expect(connect(options('localhost', { mode: 'verify-full' }))).rejects.toMatchObject({ code: 'SRC_TLS' });
    await expect(connect(options('127.0.0.1', { mode: 'verify-full', ca }))).rejects.toMatchObject({ code: 'SRC_TLS' });
    await using byAuthority = await connect({ ...options('127.0.0.1', { mode: 'verify-ca', ca }), config: { tls: { mode: 'verify-ca', ca }, slot: 'by_authority' } });
    expect(byAuthority.tables).toHaveLength(1);
    await using unchecked = await connect({ ...options('127.0.0.1', {}), config: { tls: { mode: 'insecure' }, slot: 'unchecked' } });
    expect(unchecked.tables).toHaveLength(1);
  });
});
