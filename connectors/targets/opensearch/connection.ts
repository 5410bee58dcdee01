/**
 * How to reach a cluster: urls, who we are, encryption. Made into a client of `@opensearch-project/opensearch`, of which the connection pool,
 * TLS and AWS signing are used and nothing above them.
 */
import { readFile } from 'node:fs/promises';
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import { Client, Connection } from '@opensearch-project/opensearch';
import { AwsSigv4Signer } from '@opensearch-project/opensearch/aws';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import type { Secret } from '../../../src/runtime/secret.ts';
import type { OpenSearchConfig } from './config.ts';

/** What proves who we are: a header, or a signature that the client adds by itself (null). */
export type Authorization = string | null;

export interface Endpoint {
  readonly client: Client;
  readonly nodes: number;
  /** `https://search.example:9200`: without user and password. */
  readonly shown: string;
}

/** Reads certificates; the client's connections are made when requests need them. Throws CFG_INVALID for a url that is none. */
export async function openEndpoint(config: OpenSearchConfig): Promise<Endpoint> {
  const urls = (config.nodes ?? (config.url === undefined ? [] : [config.url])).map(parseUrl);
  const ssl = await tlsOptions(config);
  const { aws } = config.auth;
  const signer = aws === undefined ? undefined : AwsSigv4Signer({ region: aws.region, service: 'es', getCredentials: async () => credentialsOf(aws) as never });
  const client = new Client({
    nodes: urls.map((url) => ({ url: withoutUser(url) })),
    Connection: quiet(signer?.Connection ?? Connection),
    ...(signer === undefined ? {} : { Transport: signer.Transport }),
    ...(ssl === undefined ? {} : { ssl }),
    requestTimeout: config.request_timeout_ms,
    // The client's own way back looks with requests whose answers it never reads.
    resurrectStrategy: 'optimistic',
  });
  return { client, nodes: urls.length, shown: urls.map((url) => `${url.protocol}//${url.host}`).join(', ') };
}

/** Value of the `authorization` header. A password file is read anew. Throws TGT_AUTH when it cannot be read. */
export async function authorizationOf(config: OpenSearchConfig): Promise<Authorization> {
  const { auth } = config;
  if (auth.aws !== undefined) return null;
  if (auth.api_key !== undefined) return `ApiKey ${auth.api_key.reveal()}`;
  if (auth.bearer_token !== undefined) return `Bearer ${auth.bearer_token.reveal()}`;
  if (auth.username !== undefined) return basic(auth.username, auth.password_file === undefined ? (auth.password?.reveal() ?? '') : await passwordIn(auth.password_file));
  const [first] = config.nodes ?? [config.url];
  const url = first === undefined ? undefined : parseUrl(first);
  return url === undefined || url.username === '' ? null : basic(decodeURIComponent(url.username), decodeURIComponent(url.password));
}

function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

async function passwordIn(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).replace(/\r?\n$/, '');
  } catch (error) {
    throw new TailraceError('TGT_AUTH', { message: `The password file ${file} cannot be read (${nodeCode(error)}).`, hint: 'Correct `auth.password_file`, or let this account read it.' });
  }
}

function parseUrl(secret: Secret): URL {
  const url = URL.parse(secret.reveal());
  const hint = 'Give it as `https://user:password@host:9200`.';
  if (url === null) throw new TailraceError('CFG_INVALID', { message: 'The url of the OpenSearch target is no url.', hint });
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new TailraceError('CFG_INVALID', { message: `The url of the OpenSearch target begins with ${url.protocol}.`, hint });
  return url;
}

function withoutUser(url: URL): URL {
  const bare = new URL(url);
  bare.username = '';
  bare.password = '';
  return bare;
}

async function tlsOptions({ tls }: OpenSearchConfig): Promise<TlsOptions | undefined> {
  const options: TlsOptions = {};
  if (tls.mode === 'insecure') options.rejectUnauthorized = false;
  if (tls.mode === 'verify-ca') options.checkServerIdentity = () => undefined;
  for (const part of ['ca', 'cert', 'key'] as const) {
    const file = tls[part];
    if (file !== undefined) options[part] = await certificateIn(file, part);
  }
  return Object.keys(options).length === 0 ? undefined : options;
}

async function certificateIn(file: string, part: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new TailraceError('CFG_INVALID', { message: `The file of tls.${part}, ${file}, cannot be read (${nodeCode(error)}).`, hint: `Correct \`tls.${part}\` of the target.` });
  }
}

interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** No SDK of AWS is needed for these; what would (profiles, roles of machines) must be put into the environment by whoever starts tailrace. */
function credentialsOf(aws: NonNullable<OpenSearchConfig['auth']['aws']>): AwsCredentials {
  const { env } = process;
  const accessKeyId = aws.access_key_id?.reveal() ?? env['AWS_ACCESS_KEY_ID'];
  const secretAccessKey = aws.secret_access_key?.reveal() ?? env['AWS_SECRET_ACCESS_KEY'];
  const sessionToken = aws.access_key_id === undefined ? env['AWS_SESSION_TOKEN'] : aws.session_token?.reveal();
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    throw new TailraceError('TGT_AUTH', { message: 'There are no AWS credentials to sign requests with.', hint: 'Set `auth.aws.access_key_id` and `secret_access_key`, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment.' });
  }
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

/**
 * The client prints errors of a request that it has an answer to, on standard output, where our own output goes. The answer's stream
 * fails with the same error, so nothing is lost.
 */
function quiet(Base: typeof Connection): typeof Connection {
  return class QuietConnection extends Base {
    override request(...[params, callback]: Parameters<Connection['request']>): ReturnType<Connection['request']> {
      const request = super.request(params, (error, response) => {
        if (response !== null) {
          request.removeAllListeners('error');
          request.on('error', () => {});
        }
        callback(error, response);
      });
      return request;
    }
  };
}

function nodeCode(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'unknown error';
}
