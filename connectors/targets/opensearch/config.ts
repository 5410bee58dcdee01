/** The settings of an OpenSearch target, and what an index may say with `mapping` and `settings`. */
import { z } from 'zod';
import { fileSetting, secretSetting } from '../../../src/connector/setting.ts';
import { keptSettingsIn } from './index-settings.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

const tlsSettings = z.strictObject({
  mode: z
    .enum(['verify-full', 'verify-ca', 'insecure'])
    .default('verify-full')
    .describe('For `https`: `verify-full` checks the certificate and the host name, `verify-ca` the certificate only, `insecure` encrypts without checking.'),
  ca: fileSetting('File with the certificates of the authorities that are trusted instead of the system\'s, in PEM form.').optional(),
  cert: fileSetting('File with the client\'s certificate, in PEM form.').optional(),
  key: fileSetting('File with the client certificate\'s private key, in PEM form.').optional(),
});

const awsSettings = z.strictObject({
  region: z.string().min(1).describe('The region of the domain in Amazon OpenSearch Service: `eu-central-1`.'),
  access_key_id: secretSetting('Access key. Without it: the environment variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.').optional(),
  secret_access_key: secretSetting('Secret of the access key.').optional(),
  session_token: secretSetting('Token of temporary credentials. They are not renewed while tailrace runs.').optional(),
});

const authSettings = z
  .strictObject({
    username: z.string().min(1).optional().describe('User for basic authentication; may stand in the url instead.'),
    password: secretSetting('Password of the user.').optional(),
    password_file: fileSetting('File that holds the password. It is read again when the cluster refuses it, so a password that is renewed needs no restart.').optional(),
    api_key: secretSetting('API key, in its encoded form.').optional(),
    bearer_token: secretSetting('Bearer token.').optional(),
    aws: awsSettings.optional().describe('Requests are signed with AWS Signature Version 4.'),
  })
  .superRefine((auth, context) => {
    const ways = [auth.username, auth.api_key, auth.bearer_token, auth.aws].filter((way) => way !== undefined);
    if (ways.length > 1) context.addIssue({ code: 'custom', message: 'give one of `username`, `api_key`, `bearer_token` and `aws`' });
    if (auth.username !== undefined && (auth.password === undefined) === (auth.password_file === undefined)) context.addIssue({ code: 'custom', message: '`username` needs `password` or `password_file`' });
    if (auth.username === undefined && (auth.password !== undefined || auth.password_file !== undefined)) context.addIssue({ code: 'custom', message: 'a password needs `username`' });
    if (auth.aws !== undefined && (auth.aws.access_key_id === undefined) !== (auth.aws.secret_access_key === undefined)) context.addIssue({ code: 'custom', message: '`access_key_id` and `secret_access_key` belong together', path: ['aws'] });
  });

export const openSearchConfigSchema = z
  .strictObject({
    type: z.literal('opensearch'),
    url: secretSetting('Where the cluster is: `https://user:password@host:9200`. A path in front of the API (a proxy\'s) may stand behind it.').optional(),
    nodes: z.array(secretSetting('Url of one node.')).min(1).optional().describe('Urls of several nodes of the cluster, instead of `url`. They are asked in turn; a user and password in the first counts for all.'),
    auth: authSettings.default({}).describe('How tailrace shows who it is.'),
    tls: tlsSettings.prefault({}).describe('Encryption of the connection.'),
    request_timeout_ms: z.int().min(100).max(3_600_000).default(60_000).describe('How long a request may take from its first byte to the last of its answer. What takes long by its nature (a refresh after loading) is given ten times as long.'),
    max_request_bytes: z
      .int()
      .min(64 * KiB)
      .max(90 * MiB)
      .default(8 * MiB)
      .describe('Size of a write request; larger batches are split. It shrinks by itself while the cluster refuses or is short of memory.'),
    max_request_documents: z.int().min(1).max(100_000).default(5_000).describe('Documents in a write request.'),
    max_requests: z.int().min(1).max(64).default(8).describe('Write requests under way at once, at most. How many there really are follows what the cluster bears.'),
    refresh_interval: z
      .string()
      .regex(/^(-1|\d+(ms|s|m|h))$/, 'a time such as `1s` or `500ms`, or `-1`')
      .default('1s')
      .describe('How soon searches see what was written, for indices that do not say it in `settings`. `-1`: never by itself. While an index is built it is off.'),
  })
  .superRefine((config, context) => {
    if ((config.url === undefined) === (config.nodes === undefined)) context.addIssue({ code: 'custom', message: 'give `url` or `nodes`', path: ['url'] });
  });

export type OpenSearchConfig = z.output<typeof openSearchConfigSchema>;

export const openSearchIndexSchema = z.strictObject({
  mapping: z
    .record(z.string().min(1), z.record(z.string(), z.unknown()))
    .optional()
    .describe('How fields are kept, by field: an OpenSearch mapping such as `{ type: text, analyzer: english }`. What it does not say is as derived from the column, unless it names another `type`. Fields that only a transform makes are declared here.'),
  settings: z
    .record(z.string().min(1), z.unknown())
    .superRefine((settings, context) => {
      for (const [name, why] of keptSettingsIn(settings)) context.addIssue({ code: 'custom', message: `\`${name}\` ${why}` });
      const { dynamic } = settings;
      if (dynamic !== undefined && dynamic !== 'strict' && typeof dynamic !== 'boolean') context.addIssue({ code: 'custom', message: '`dynamic` is `strict`, `true` or `false`', path: ['dynamic'] });
    })
    .optional()
    .describe('Index settings: `number_of_shards`, `number_of_replicas`, `refresh_interval`, `analysis` and all others that OpenSearch has; and `dynamic`, what happens to fields that the mapping does not have: `strict` refuses the document (the default), `false` keeps them unsearched, `true` guesses their type.'),
});
