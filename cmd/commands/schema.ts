/** `tailrace schema`: the JSON Schema of the config, for editors. */
import { ExitCode } from '../../src/errors/policy.ts';
import { jsonOption } from '../options.ts';
import { standardOutput } from '../terminal/output.ts';
import { defineVerb } from '../verb.ts';

export const schemaVerb = defineVerb({
  command: 'schema',
  describe: 'Print the JSON Schema of the config',
  // It is JSON in any case: whoever asks every verb for it may ask this one.
  options: { ...jsonOption },
  examples: [['$0 schema > tailrace.schema.json', 'Then begin tailrace.yaml with `# yaml-language-server: $schema=./tailrace.schema.json`']],
  run: async () => {
    const [{ connectors }, { defineConfigSchema }, { jsonSchemaOf }] = await Promise.all([import('../../connectors/index.ts'), import('../../src/config/config-schema.ts'), import('../../src/config/json-schema.ts')]);
    standardOutput.write(`${JSON.stringify(jsonSchemaOf(defineConfigSchema(connectors).zod), undefined, 2)}\n`);
    return ExitCode.ok;
  },
});
