/** `tailrace demo`: the whole way, from a database to a changed search result, on this machine and with nothing to prepare. */
import { everywhereOptions, jsonOption } from '../options.ts';
import { defineVerb } from '../verb.ts';

export const demoVerb = defineVerb({
  command: 'demo',
  describe: 'Start a real PostgreSQL with a small shop, index it, change a row, and see the search result change',
  staysUp: true,
  options: { ...everywhereOptions, ...jsonOption, once: { type: 'boolean', default: false, describe: 'Stop after that, instead of staying up to be tried' } },
  run: async (args) => {
    const { runDemo } = await import('../demo/demo.ts');
    return runDemo({ once: args.once, json: args.json, debug: args.debug });
  },
});
