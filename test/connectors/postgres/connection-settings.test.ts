import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { defaultSlotName, postgresConfigSchema } from '../../../connectors/sources/postgres/config.ts';
import { quoteIdentifier, quoteLiteral } from '../../../connectors/sources/postgres/connection/identifier.ts';
import { connectionSettings, parseUrl } from '../../../connectors/sources/postgres/connection/settings.ts';
import { startReplicationCommand } from '../../../connectors/sources/postgres/stream/start-command.ts';

function config(settings: Record<string, unknown>): ReturnType<typeof postgresConfigSchema.parse> {
  return postgresConfigSchema.parse({ type: 'postgres', url: 'postgres://u:p@db.example.com/shop', ...settings });
}

test('a url is taken apart, escapes and all', () => {
  expect(parseUrl('postgres://us%40er:p%2Fw%3A@db.example.com:6543/my%20shop?sslmode=verify-ca&application_name=x')).toEqual({
    host: 'db.example.com',
    port: 6543,
    user: 'us@er',
    password: 'p/w:',
    database: 'my shop',
    applicationName: 'x',
    tlsMode: 'verify-ca',
  });
  expect(parseUrl('postgresql://u@[::1]/')).toMatchObject({ host: '::1', port: 5432, database: 'u', password: '', tlsMode: null });
  expect(parseUrl('postgres://u@/d?host=/var/run/postgresql')).toMatchObject({ host: '/var/run/postgresql', database: 'd' });
});

test.each(['', 'shop', 'mysql://u@h/d', 'postgres://h/d', 'postgres://u@h/d?sslmode=maybe', 'postgres://u@h/d?statement_timeout=1', 'postgres://u@h:p%zz/d', 'postgres://u:%zz@h/d'])('the url %o is refused without being shown', (url) => {
  expect(() => parseUrl(url)).toThrow(expect.objectContaining({ code: 'CFG_INVALID', message: expect.not.stringContaining('u@h') }));
});

test('connections to other machines are encrypted and checked unless told otherwise; to this machine they are plain', async () => {
  const tls = async (settings: Record<string, unknown>): Promise<unknown> => (await connectionSettings(config(settings), {})).client.ssl;
  expect(await tls({})).toEqual({ rejectUnauthorized: true });
  expect(await tls({ url: 'postgres://u@h/d?sslmode=require' })).toEqual({ rejectUnauthorized: true });
  expect(await tls({ url: 'postgres://u@h/d?sslmode=disable' })).toBe(false);
  expect(await tls({ url: 'postgres://u@h/d?sslmode=disable', tls: { mode: 'verify-full' } })).toEqual({ rejectUnauthorized: true });
  expect(await tls({ tls: { mode: 'insecure' } })).toEqual({ rejectUnauthorized: false });
  expect(await tls({ tls: { mode: 'verify-ca' } })).toMatchObject({ rejectUnauthorized: true, checkServerIdentity: expect.any(Function) });
  for (const host of ['localhost', '127.0.0.1', '127.8.0.1', '[::1]']) expect(await tls({ url: `postgres://u@${host}/d` })).toBe(false);
  expect(await tls({ url: 'postgres://u@127.0.0.1.example.com/d' })).toEqual({ rejectUnauthorized: true });
  await expect(tls({ tls: { ca: '/nowhere/ca.pem' } })).rejects.toMatchObject({ code: 'SRC_TLS' });
});

test('password files are read anew each time, and their last line end does not count', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tailrace-settings-'));
  try {
    const file = join(folder, 'password');
    const settings = config({ password_file: file });
    const password = async (): Promise<unknown> => ((await connectionSettings(settings, {})).client.password as () => string)();
    await writeFile(file, 'first\n');
    expect(await password()).toBe('first');
    await writeFile(file, 'second');
    expect(await password()).toBe('second');
    await rm(file);
    await expect(password()).rejects.toMatchObject({ code: 'SRC_AUTH' });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('settings that decide what values look like are pinned', async () => {
  const { client } = await connectionSettings(config({}), { wal_sender_timeout: '5000' });
  for (const setting of ['datestyle=ISO', 'intervalstyle=iso_8601', 'timezone=UTC', 'extra_float_digits=1', 'bytea_output=hex', 'lc_monetary=C', 'search_path=pg_catalog', 'wal_sender_timeout=5000']) {
    expect(client.options).toContain(`-c ${setting}`);
  }
});

test('neither url nor password is seen in a printed config', () => {
  expect(JSON.stringify(config({}))).not.toContain('example.com');
});

test('wrong settings are refused with their name', () => {
  const issues = (settings: Record<string, unknown>): string[] => postgresConfigSchema.safeParse({ type: 'postgres', url: 'postgres://u@h/d', ...settings }).error?.issues.map((issue) => issue.path.join('.')) ?? [];
  expect(issues({ slot: 'With-Capitals' })).toEqual(['slot']);
  expect(issues({ slot: 'x'.repeat(64) })).toEqual(['slot']);
  expect(issues({ publication: 'é'.repeat(32) })).toEqual(['publication']);
  expect(issues({ max_value_bytes: 10 })).toEqual(['max_value_bytes']);
  expect(issues({ wal_sender_timeout_ms: 5 })).toEqual(['wal_sender_timeout_ms']);
  expect(issues({ wal_sender_timeout_ms: 0 })).toEqual([]);
});

test('every source has a slot name of its own that PostgreSQL takes', () => {
  expect(defaultSlotName('shop')).toBe('tailrace_shop');
  const sources = ['Shop', 'shop-eu', 'shop_eu', 'shop.eu', 'x'.repeat(80), `${'x'.repeat(80)}y`, 'ünïcode'];
  const names = sources.map(defaultSlotName);
  expect(new Set(names).size).toBe(sources.length);
  for (const name of names) expect(name).toMatch(/^[a-z0-9_]{1,63}$/);
});

test('names are quoted inside of commands, the publication\'s twice', () => {
  expect(quoteIdentifier('a"b')).toBe('"a""b"');
  expect(quoteLiteral("it's \\ fine")).toBe("'it''s \\ fine'");
  expect(startReplicationCommand('slot_a', `My "Pub" it's`, 0x16_b3748n)).toBe(
    `START_REPLICATION SLOT "slot_a" LOGICAL 0/16B3748 (proto_version '1', publication_names '"My ""Pub"" it''s"')`,
  );
});
