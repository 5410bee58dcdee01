/** From the text of a config file to a config: YAML, references, schema. Files and environment are handed in. */
import { dirname, resolve } from 'node:path';
import type { ConfigSchema } from './config-schema.ts';
import type { TailraceConfig } from './definition.ts';
import { problemsError } from './problem.ts';
import { resolveReferences, type SecretSources } from './reference-tag.ts';
import { parseYaml } from './yaml-text.ts';

export interface LoadRequest {
  readonly text: string;
  /** Path of the file: named in messages, and its folder is where relative paths of the config begin. */
  readonly path: string;
  readonly schema: ConfigSchema;
  readonly secrets: SecretSources;
}

/**
 * Reads a config. Throws CFG_INVALID with every problem and its line, and CFG_SECRET_MISSING when a referenced variable or file is not
 * there; no message holds a value. `data_directory`, `admin.socket` and the files that connectors are given come back as absolute paths when
 * `path` is one.
 */
export async function loadConfig({ text, path, schema, secrets }: LoadRequest): Promise<TailraceConfig> {
  const parsed = parseYaml(text);
  if (!('tree' in parsed)) throw problemsError('CFG_INVALID', path, parsed);
  const absolute = (relative: string): string => resolve(dirname(path), relative);
  const resolved = await resolveReferences(parsed.tree, { ...secrets, readFile: (file) => secrets.readFile(absolute(file)) });
  if (resolved.problems.length > 0) {
    const placed = resolved.problems.map((problem) => ({ ...problem, place: parsed.place(problem.path) }));
    throw problemsError('CFG_SECRET_MISSING', path, placed);
  }
  const config = schema.withFilePaths(schema.validate(resolved.tree, path, parsed.place), absolute);
  const { admin } = config;
  return { ...config, data_directory: absolute(config.data_directory), admin: admin.socket === undefined ? admin : { ...admin, socket: absolute(admin.socket) } };
}
