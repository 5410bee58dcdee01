/** `tailrace init`: a config proposed from a live database. */
import { CONFIG_FILE_DEFAULT, jsonOption } from '../options.ts';
import { defineVerb } from '../verb.ts';

export const initVerb = defineVerb({
  command: 'init <url>',
  describe: 'Write a config from a live database: an index for each table that can have one',
  options: {
    ...jsonOption,
    to: { type: 'string', requiresArg: true, describe: 'Target, as TYPE=URL: opensearch=https://localhost:9200; by default a file in the data directory' },
    tables: { type: 'string', array: true, requiresArg: true, describe: 'Only these tables, apart by commas: products, sales.*' },
    out: { type: 'string', default: CONFIG_FILE_DEFAULT, requiresArg: true, describe: 'The file; one that is there is never written over' },
  },
  positionals: { url: { type: 'string', demandOption: true, describe: 'Url of the database: postgres://user:password@host:5432/database' } },
  examples: [['$0 init postgres://tailrace@db/shop --to opensearch=https://search:9200', 'A config for every table of shop']],
  run: async (args) => {
    const { init } = await import('../init/init.ts');
    return init(args);
  },
});
