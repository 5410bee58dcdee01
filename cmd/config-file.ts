/** Reads the config that a command is about: the file, the environment, what the command line overrides. */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { connectors } from '../connectors/index.ts';
import { defineConfigSchema } from '../src/config/config-schema.ts';
import type { TailraceConfig } from '../src/config/definition.ts';
import type { IndexDefinition } from '../src/config/index-settings.ts';
import { loadConfig } from '../src/config/load.ts';
import { systemCodeOf } from '../src/errors/system-code.ts';
import { loadTransform, type DocumentTransform } from '../src/document/transform.ts';
import { TailraceError } from '../src/errors/tailrace-error.ts';
import { CONFIG_FILE_DEFAULT, type ConfigArguments } from './options.ts';

export interface LoadedConfig {
  readonly config: TailraceConfig;
  /** Absolute path of the file: relative paths in it begin at its folder. */
  readonly path: string;
}

/** Errors: CFG_UNREADABLE, CFG_INVALID, CFG_SECRET_MISSING. */
export async function readConfig(args: ConfigArguments): Promise<LoadedConfig> {
  const named = args.config ?? process.env['TAILRACE_CONFIG'];
  const path = resolve(named ?? CONFIG_FILE_DEFAULT);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw unreadable(named, path, cause);
  }
  const secrets = { environment: (name: string) => process.env[name], readFile: async (file: string) => readFile(file, 'utf8') };
  const config = await loadConfig({ text, path, schema: defineConfigSchema(connectors), secrets });
  const directory = args['data-directory'];
  return { config: directory === undefined ? config : { ...config, data_directory: resolve(directory) }, path };
}

function unreadable(named: string | undefined, path: string, cause: unknown): TailraceError {
  const code = systemCodeOf(cause);
  const reason = code === 'ENOENT' ? 'is not there' : code === 'EACCES' ? 'may not be read by this account' : code === 'EISDIR' ? 'is a folder' : `cannot be read (${String(code)})`;
  const hint = named === undefined ? 'Name it with `--config FILE`, or try `tailrace demo`, which needs none.' : undefined;
  return new TailraceError('CFG_UNREADABLE', { message: `The config file ${path} ${reason}.`, hint, cause });
}

/** Loads the module that an index names as its `transform`; the path is relative to the config file. Errors: CFG_TRANSFORM. */
export async function transformOf(index: IndexDefinition, configPath: string): Promise<DocumentTransform | undefined> {
  if (index.transform === undefined) return undefined;
  const file = resolve(dirname(configPath), index.transform);
  return loadTransform(index.transform, file, {
    readText: async (path) => readFile(path, 'utf8'),
    importModule: async (path) => import(pathToFileURL(path).href) as Promise<unknown>,
  });
}
