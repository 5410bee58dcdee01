/** Names of indices that commands are given. */
import type { TailraceConfig } from '../src/config/definition.ts';
import { sentence, suggestion } from '../src/config/nearest.ts';
import { TailraceError } from '../src/errors/tailrace-error.ts';

/** Throws USAGE for an index that the config does not have, with the one that was probably meant. */
export function refuseUnknownIndex(name: string, config: TailraceConfig): void {
  const known = config.indices.map((index) => index.name);
  if (known.includes(name)) return;
  throw new TailraceError('USAGE', { message: sentence(`The config has no index \`${name}\`${suggestion(name, known)}`), hint: `Name one of: ${known.join(', ')}.` });
}
