/** The settings of a Postgres source. Checked here as far as text can be; what the url holds is read at every connect (`connection/settings.ts`). */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { fileSetting, secretSetting } from '../../../src/connector/setting.ts';

const MiB = 1024 * 1024;

/** `wal_sender_timeout` below this would end connections that are merely busy. */
const WAL_SENDER_TIMEOUT_MIN_MS = 1_000;

/** PostgreSQL cuts longer identifiers (`NAMEDATALEN - 1`). */
const IDENTIFIER_BYTES_MAX = 63;

const tlsSettings = z.strictObject({
  mode: z
    .enum(['verify-full', 'verify-ca', 'insecure', 'disable'])
    .optional()
    .describe('`verify-full` checks the certificate and the host name, `verify-ca` the certificate only, `insecure` encrypts without checking, `disable` does not encrypt. By default what the url\'s `sslmode` says; without one `verify-full`, or `disable` on the same machine.'),
  ca: fileSetting('File with the certificates of the authorities that are trusted instead of the system\'s, in PEM form.').optional(),
  cert: fileSetting('File with the client\'s certificate, in PEM form.').optional(),
  key: fileSetting('File with the client certificate\'s private key, in PEM form.').optional(),
});

export const postgresConfigSchema = z.strictObject({
  type: z.literal('postgres'),
  url: secretSetting('Where the database is: `postgres://user:password@host:5432/database`. The server itself, not a connection pooler.'),
  password_file: fileSetting('File that holds the password, instead of the url. It is read at every connect, so a password that is renewed needs no restart.').optional(),
  publication: z
    .string()
    .min(1)
    .refine((name) => Buffer.byteLength(name) <= IDENTIFIER_BYTES_MAX, `at most ${IDENTIFIER_BYTES_MAX} bytes`)
    .optional()
    .describe('Name of the publication that is read. By default `tailrace_` and the source\'s name.'),
  slot: z
    .string()
    .regex(/^[a-z0-9_]{1,63}$/, 'lower-case letters, digits and `_`, at most 63')
    .optional()
    .describe('Name of the replication slot that keeps the server\'s history for this source. By default `tailrace_` and the source\'s name.'),
  create: z.boolean().default(true).describe('Whether the publication and the slot are created when they are missing at the first start. With `false` the statements are shown instead.'),
  take_over: z
    .boolean()
    .default(false)
    .describe('Whether, once at its start, tailrace ends another connection that reads from its slot, and an empty data directory begins with a slot that another one may have read from. For a machine that replaces one which cannot be reached any more; without it the server drops a dead reader after its `wal_sender_timeout`.'),
  tls: tlsSettings.default({}).describe('Encryption of the connection.'),
  max_value_bytes: z
    .int()
    .min(1 * MiB)
    .max(256 * MiB)
    .default(8 * MiB)
    .describe('Largest value of a column that is read. A document that uses a larger one is parked; all others go on. A row keeps at most twice as much.'),
  connect_timeout_ms: z.int().min(100).max(600_000).default(10_000).describe('How long connecting may take.'),
  wal_sender_timeout_ms: z
    .int()
    .refine((ms) => ms === 0 || ms >= WAL_SENDER_TIMEOUT_MIN_MS, `0 or at least ${WAL_SENDER_TIMEOUT_MIN_MS}`)
    .default(60_000)
    .describe('After how long without a word the server ends our connection; after twice as long without a word from the server we do. 0 turns both off.'),
});

export type PostgresConfig = z.output<typeof postgresConfigSchema>;

/** How the name of every slot begins that was not given one. */
export const SLOT_NAME_PREFIX = 'tailrace_';

/** A slot's name for a source that was given none: `tailrace_shop`. Two different sources never get the same. */
export function defaultSlotName(source: string): string {
  const plain = `${SLOT_NAME_PREFIX}${source}`;
  if (/^[a-z0-9_]+$/.test(plain) && plain.length <= IDENTIFIER_BYTES_MAX) return plain;
  const digest = createHash('sha256').update(source).digest('hex').slice(0, 10);
  const readable = plain.toLowerCase().replaceAll(/[^a-z0-9_]/g, '_').slice(0, IDENTIFIER_BYTES_MAX - digest.length - 1);
  return `${readable}_${digest}`;
}
