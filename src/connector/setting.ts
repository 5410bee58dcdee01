/**
 * How a connector declares settings that are more than text: a secret, which the config file gives as text, `!env NAME` or `!file PATH` and the connector
 * gets as a `Secret`; the path of a file, which the connector gets as an absolute one.
 */
import { z } from 'zod';
import { Secret } from '../runtime/secret.ts';

/** A setting that must never be printed: a url with a password in it, a token. Its parsed form is a `Secret`. */
export function secretSetting(description: string) {
  return z
    .custom<string | Secret>((value) => (typeof value === 'string' && value !== '') || value instanceof Secret, { error: 'expected text, `!env NAME` or `!file PATH`' })
    .transform((value) => (typeof value === 'string' ? new Secret(value) : value))
    .meta({ type: 'string', description, secret: true });
}

/** The path of a file that the user keeps. In a config file a relative one begins at the folder of that file. */
export function fileSetting(description: string) {
  return z.string().min(1).meta({ description: `${description} A relative path is relative to the config file.`, file: true });
}
