/** The connector `type: sqlite`: an index in a file of its own, without any server. */
import { resolve } from 'node:path';
import { z } from 'zod';
import type { Target, TargetContext } from '../../../src/connector/target.ts';
import { nameProblem } from './names.ts';
import { SqliteTarget } from './target.ts';

const FILE_NAME = 'search.db';

const configSchema = z.strictObject({
  type: z.literal('sqlite'),
  path: z.string().min(1).optional().describe(`The database file; a relative path starts at the data directory. Default: \`${FILE_NAME}\` in the data directory.`),
  text: z
    .strictObject({
      tokenizer: z
        .enum(['unicode61', 'porter', 'trigram'])
        .default('unicode61')
        .describe('How text becomes words: `unicode61` for any language that puts spaces between words, `porter` to find English words in all their forms, `trigram` to find any three characters or more inside words (Chinese, Japanese, part numbers).'),
      remove_diacritics: z.boolean().default(true).describe('Whether `uber` finds `über`.'),
    })
    .prefault({})
    .describe('How words are searched. To change it for an index that is there, build it again.'),
});

type SqliteConfig = z.output<typeof configSchema>;

export const sqliteTarget = {
  type: 'sqlite',
  configSchema,
  nameProblem,
  create(config: SqliteConfig, context: TargetContext): Target {
    return new SqliteTarget({
      name: context.name,
      path: resolve(context.dataDirectory, config.path ?? FILE_NAME),
      text: { tokenizer: config.text.tokenizer, removeDiacritics: config.text.remove_diacritics },
    });
  },
} as const;
