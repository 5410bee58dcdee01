/** The config as it may be shown: at start, in `status`, in reports. What is secret is masked, whatever it is called. */
import { Secret } from '../runtime/secret.ts';
import type { TailraceConfig } from './definition.ts';

const urlStart = /^[a-z][a-z0-9+.-]*:\/\//i;

/** Parameters of a url that are never secret. All others are masked. */
const plainParameters: ReadonlySet<string> = new Set(['sslmode', 'connect_timeout', 'application_name', 'target_session_attrs', 'replicaSet', 'authSource', 'tls', 'ssl']);

/**
 * A url without its password: `postgres://app:***@host:5432/shop`. Text that is no url is masked whole. Errs on the side of masking:
 * a password that was not encoded may hold `@`, `/` and `?`.
 */
export function maskUrl(text: string): string {
  const scheme = urlStart.exec(text)?.[0];
  if (scheme === undefined) return '***';
  const rest = text.slice(scheme.length);
  const at = rest.lastIndexOf('@');
  const userInfo = at === -1 ? '' : rest.slice(0, at);
  const user = userInfo.split(':', 1)[0] ?? '';
  const who = at === -1 ? '' : `${user}${userInfo.length > user.length ? ':***' : ''}@`;
  const [address = '', ...query] = rest.slice(at + 1).split('?');
  const parameters = query.join('?').split('&').filter((parameter) => parameter !== '').map(maskParameter);
  return `${scheme}${who}${address}${parameters.length === 0 ? '' : `?${parameters.join('&')}`}`;
}

function maskParameter(parameter: string): string {
  const [name = '', ...value] = parameter.split('=');
  return value.length === 0 || plainParameters.has(name) ? parameter : `${name}=***`;
}

/** The config as JSON-able data with secrets masked: connection urls without their password, other secrets as `***`. */
export function describeConfig(config: TailraceConfig): Record<string, unknown> {
  return described(config) as Record<string, unknown>;
}

function described(value: unknown): unknown {
  if (value instanceof Secret) return maskUrl(value.reveal());
  if (typeof value === 'string') return urlStart.test(value) ? maskUrl(value) : value;
  if (Array.isArray(value)) return value.map(described);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]: [string, unknown]) => [name, described(item)]));
}
