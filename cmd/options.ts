/** Options that several verbs share. */

export const CONFIG_FILE_DEFAULT = './tailrace.yaml';

/** Of every verb that needs a config. */
export const configOptions = {
  config: { type: 'string', requiresArg: true, describe: `Config file (TAILRACE_CONFIG, or ${CONFIG_FILE_DEFAULT})` },
  'data-directory': { type: 'string', requiresArg: true, describe: 'Data directory, instead of the one that the config names' },
} as const;

/** Of every verb that prints something which programs may read. */
export const jsonOption = {
  json: { type: 'boolean', default: false, describe: 'Print JSON (docs/cli.md has the shapes)' },
} as const;

/** Of every verb. */
export const everywhereOptions = {
  debug: { type: 'boolean', default: false, describe: 'Print causes and stack traces of errors, and log at level debug' },
} as const;

export interface ConfigArguments {
  readonly config?: string | undefined;
  readonly 'data-directory'?: string | undefined;
}
