/** How a connector declares a secret among its settings: the config file gives it as text, `!env NAME` or `!file PATH`, the connector gets a `Secret`. */
import { z } from 'zod';
import { Secret } from '../runtime/secret.ts';

/** A setting that must never be printed: a url with a password in it, a token. Its parsed form is a `Secret`. */
export function secretSetting(description: string) {
  return z
    .custom<string | Secret>((value) => (typeof value === 'string' && value !== '') || value instanceof Secret, { error: 'expected text, `!env NAME` or `!file PATH`' })
    .transform((value) => (typeof value === 'string' ? new Secret(value) : value))
    .meta({ type: 'string', description, secret: true });
}
