/** A source that cannot be reached or read as it is, on the real process; in the end the index is the table. */
import { execFile } from 'node:child_process';
import { chown, copyFile, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { startRelay, withoutReplication, type RelayOptions } from '../chaos/relay.ts';
import { errorOf, Scene } from './bad-input-scene.ts';
import { describePostgres, type PostgresServer } from './postgres.ts';

const run = promisify(execFile);

/** `url` at another port. */
function atPort(url: string, port: number): string {
  const altered = new URL(url);
  altered.port = String(port);
  return altered.href;
}

describePostgres([15], (postgres) => {
  const { server } = postgres;

  test('a server that is away is waited for, and the error says so: SRC_CONN', async () => {
    const running = await server();
    await using scene = await Scene.make(running);
    await running.stop('fast');
    await using daemon = await scene.daemon('--once');
    const { code, did } = errorOf(await daemon.event('source_disconnected'));
    expect({ code, did }).toEqual({ code: 'SRC_CONN', did: 'tailrace keeps its position and tries again with growing pauses.' });
    await running.start();
    expect(await daemon.exit()).toEqual({ code: 0, signal: null });
    await scene.mended();
  });

  test('a wrong password is not tried twice, and is not shown: SRC_AUTH', async () => {
    const running = await server();
    const role = `guarded_${postgres.major}`;
    await running.query(`CREATE ROLE ${role} LOGIN SUPERUSER PASSWORD 'right-8c21'`);
    const rules = join(running.dataDirectory, 'pg_hba.conf');
    await writeFile(rules, `host all ${role} 127.0.0.1/32 scram-sha-256\n${await readFile(rules, 'utf8')}`);
    await running.query('SELECT pg_reload_conf()');
    const withPassword = (password: string) => ({ source }: Scene['config']) => (source['url'] = running.url(scene.database, role).replace('@', `:${password}@`));
    await using scene = await Scene.make(running);
    await scene.configure(withPassword('wrong-77ab'));
    const { message, hint } = await scene.refusal('SRC_AUTH');
    expect(message).toContain(`password authentication failed for user "${role}"`);
    expect(message + hint).not.toContain('wrong-77ab');
    await scene.configure(withPassword('right-8c21'));
    await scene.mended();
  });

  test('a certificate of an authority that is not trusted is refused before the password is sent: SRC_TLS', async () => {
    const running = await server();
    await using scene = await Scene.make(running);
    await serveTls(running);
    const ca = join(scene.folder, 'ca.pem');
    await copyFile(join(running.dataDirectory, 'server.crt'), ca);
    await scene.configure(({ source }) => {
      source['url'] = running.url(scene.database).replace('127.0.0.1', 'localhost');
      source['tls'] = { mode: 'verify-full' };
    });
    expect((await scene.refusal('SRC_TLS')).hint).toContain('`tls: { ca: FILE }`');
    await scene.configure(({ source }) => (source['tls'] = { ca }));
    await scene.mended();
  });

  test('each right that is missing is named with the statement that gives it, until none is: SRC_GRANT', async () => {
    const running = await server();
    const role = `poor_${postgres.major}`;
    await running.query(`CREATE ROLE ${role} LOGIN`);
    await using scene = await Scene.make(running);
    await scene.configure(({ source }) => (source['url'] = running.url(scene.database, role)));
    const toReplicate = await scene.refusal('SRC_GRANT');
    expect(toReplicate.hint).toBe(`ALTER ROLE "${role}" REPLICATION;`);
    await scene.sql(toReplicate.hint);
    const toPublish = await scene.refusal('SRC_PUBLICATION');
    expect(toPublish.hint).toMatch(/^As the owner of the tables: CREATE PUBLICATION "tailrace_shop" FOR TABLE "public"\."items"/);
    await scene.sql(toPublish.hint.replace('As the owner of the tables: ', ''));
    // Whenever the source stops while its first snapshot is waited for, that ends the command.
    for (let i = 0; i < 4; i += 1) expect((await scene.refusal('SRC_GRANT')).hint).toContain(`GRANT SELECT ON "public"."items" TO ${role};`);
    await scene.sql((await scene.refusal('SRC_GRANT')).hint);
    await scene.mended();
    await scene.sql(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  });

  test('a server that does not log enough names the setting: SRC_SETTING', async () => {
    const running = await server();
    await using scene = await Scene.make(running);
    await running.query('ALTER SYSTEM SET wal_level = replica');
    await restarted(running);
    const { message, hint } = await scene.refusal('SRC_SETTING');
    expect(message).toContain('wal_level = replica');
    await running.query(/^ALTER SYSTEM[^;]*;/.exec(hint)?.[0] ?? '');
    await restarted(running);
    await scene.mended();
  });

  test('a pooler is told from a server: SRC_POOLER', async () => {
    await through({ startup: withoutReplication }, async (scene) => {
      expect((await scene.refusal('SRC_POOLER')).hint).toBe('Give the url of the server itself, not of a connection pooler.');
    });
  });

  test('a server that is too old is named: SRC_VERSION', async () => {
    const running = await server();
    const [row] = await running.query('SHOW server_version_num');
    const version = String(row?.['server_version_num']);
    // Of the same length, so that the message around it stays what it was.
    const older = (chunk: Buffer): Buffer => Buffer.from(chunk.toString('latin1').replaceAll(version, '120011'), 'latin1');
    await through({ toClient: older }, async (scene) => {
      expect((await scene.refusal('SRC_VERSION')).message).toBe('Source shop is PostgreSQL 12; 13 and later are read.');
    });
  });

  test('a message that the protocol does not know stops the source, and nothing of it is logged: SRC_PROTOCOL', async () => {
    let garble = false;
    await through({ toClient: (chunk) => (garble ? withUnknownMessage(chunk) : chunk) }, async (scene) => {
      await using daemon = await scene.daemon();
      await daemon.event('index_serving');
      garble = true;
      await scene.sql("INSERT INTO items VALUES (1001, 'behind it', 1)");
      const { code, did } = errorOf(await daemon.event('source_stopped'));
      expect({ code, did }).toEqual({ code: 'SRC_PROTOCOL', did: 'tailrace stopped reading this source; its position is kept and indices serve what they have.' });
      expect(scene.ids()).not.toContain('1001');
    });
  });

  /** A scene whose daemon connects through a relay; afterwards it connects to the server itself, and that must mend it. */
  async function through(options: RelayOptions, work: (scene: Scene) => Promise<void>): Promise<void> {
    const running = await server();
    await using relay = await startRelay(running.port, options);
    await using scene = await Scene.make(running);
    await scene.configure(({ source }) => (source['url'] = atPort(running.url(scene.database), relay.port)));
    await work(scene);
    await scene.configure(({ source }) => (source['url'] = running.url(scene.database)));
    await scene.mended();
  }
});

async function restarted(server: PostgresServer): Promise<void> {
  await server.stop('fast');
  await server.start();
}

/** Gives the server a certificate for `localhost` that it signed itself. */
async function serveTls(server: PostgresServer): Promise<void> {
  const file = (name: string): string => join(server.dataDirectory, name);
  await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', file('server.key'), '-out', file('server.crt')]);
  const { uid, gid } = await stat(server.dataDirectory);
  for (const name of ['server.key', 'server.crt']) await chown(file(name), uid, gid);
  await server.query('ALTER SYSTEM SET ssl = on');
  await server.query('SELECT pg_reload_conf()');
}

/**
 * The first pgoutput message in a chunk gets a type that does not exist. A CopyData is `d`, a u32 length and its payload; an XLogData payload is
 * `w` and three u64, then the message, whose first byte is its type.
 */
function withUnknownMessage(chunk: Buffer): Buffer {
  const altered = Buffer.from(chunk);
  for (let at = 0; at + 30 < altered.length; at += 1 + altered.readUInt32BE(at + 1)) {
    if (altered[at] === 0x64 && altered[at + 5] === 0x77) {
      altered[at + 30] = 0x7e;
      break;
    }
  }
  return altered;
}
