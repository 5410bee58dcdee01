/** The schema of the whole config, made of the engine's settings and those that connectors bring. */
import { z, type ZodType } from 'zod';
import type { TailraceConfig } from './definition.ts';
import type { IndexOptions } from '../connector/target.ts';
import { EMBEDDED_TARGET } from './cross-checks.ts';
import { withFilePaths } from './file-paths.ts';
import { adminSettings, loggingSettings, logSettings, memorySettings, snapshotSettings } from './engine-settings.ts';
import { indexSettings, type IndexDefinition } from './index-settings.ts';
import { nameProblem } from './names.ts';
import { type PlaceOf, problemsIn } from './issues.ts';
import { jsonSchemaOf } from './json-schema.ts';
import { type Problem, problemsError } from './problem.ts';

/** Connectors by their `type`, with their settings as strict zod objects that have that `type` as a literal. */
export interface ConnectorSchemas {
  readonly sources: Readonly<Record<string, { readonly configSchema: ZodType }>>;
  readonly targets: Readonly<Record<string, { readonly configSchema: ZodType; readonly nameProblem?: ((index: string, others: readonly string[]) => string | undefined) | undefined; readonly indexSchema?: ZodType<IndexOptions> | undefined }>>;
}

/** The type of target that a config without targets gets. */
const EMBEDDED_TYPE = 'sqlite';

type SettingsOf<Connectors extends Readonly<Record<string, { readonly configSchema: ZodType }>>> = { [Type in keyof Connectors]: z.input<Connectors[Type]['configSchema']> }[keyof Connectors];

/** A config as users write it, in TypeScript: the same names as in the file, everything with a default optional. */
export interface ConfigInput<Schemas extends ConnectorSchemas = ConnectorSchemas> extends Omit<z.input<typeof engineSettings>, 'sources' | 'targets'> {
  readonly sources: Readonly<Record<string, SettingsOf<Schemas['sources']>>>;
  readonly targets?: Readonly<Record<string, SettingsOf<Schemas['targets']>>> | undefined;
}

const nameKey = z.string().superRefine((name, context) => {
  const problem = nameProblem(name);
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
});

function atLeastOne(what: string): (value: object, context: z.RefinementCtx) => void {
  return (value, context) => {
    if (Object.keys(value).length === 0) context.addIssue({ code: 'custom', message: `at least one ${what} is needed` });
  };
}

const HOUR_MS = 60 * 60 * 1000;

const engineSettings = z.strictObject({
  data_directory: z.string().min(1).default('tailrace-data').describe('Folder of everything that has to survive a restart: the change log, cursors, embedded indices. A relative path is relative to the config file.'),
  sources: z.unknown(),
  targets: z.unknown(),
  indices: z.record(nameKey, indexSettings).superRefine(atLeastOne('index')).describe('The indices to keep in step, by name: documents made from the rows of a table.'),
  log: logSettings.prefault({}).describe('The change log, in which changes wait on disk for the slowest index.'),
  snapshot: snapshotSettings.prefault({}).describe('How tables are read as a whole, for a new index.'),
  memory: memorySettings.prefault({}).describe('Limits of memory.'),
  admin: adminSettings.prefault({}).describe('How the running daemon is asked and watched.'),
  logging: loggingSettings.prefault({}).describe('Log lines, on standard error.'),
  ready_within_ms: z.int().min(100).max(24 * HOUR_MS).default(60_000).describe('`/readyz` answers yes while every index is at most this far behind its source.'),
  shutdown_within_ms: z.int().min(1000).max(HOUR_MS).default(10_000).describe('How long a stop waits for what is under way. What it gives up is done again after the next start.'),
});

export class ConfigSchema<Schemas extends ConnectorSchemas = ConnectorSchemas> {
  /** The zod schema, for JSON Schema and the reference. Use `validate`, which also shows all problems at once. */
  readonly zod: z.ZodType;
  readonly #embedded: ZodType | undefined;
  readonly #connectors: Schemas;

  constructor(connectors: Schemas) {
    this.#connectors = connectors;
    this.#embedded = connectors.targets[EMBEDDED_TYPE]?.configSchema;
    this.zod = engineSettings.extend({
      sources: z.record(nameKey, byType(connectors.sources)).superRefine(atLeastOne('source')).describe('The databases to read, by name.'),
      targets: z.record(nameKey, byType(connectors.targets)).default({}).describe(`Where indices are kept, by name. By default one target \`${EMBEDDED_TARGET}\`: a file in the data directory.`),
    });
  }

  /**
   * Checks a config that was given as an object and completes it. `Secret` stands wherever the file has `!env` or `!file`; it becomes
   * plain text where a setting is no secret. Throws CFG_INVALID with all problems; `file` names the config in it.
   */
  validate(tree: unknown, file = 'The config', place?: PlaceOf): TailraceConfig {
    const result = problemsIn(this.zod, tree, place);
    if (result.problems !== undefined) throw problemsError('CFG_INVALID', file, result.problems);
    const config = this.#definitions(result.settings as Settings);
    const misnamed = this.#misnamed(config).map((problem) => ({ ...problem, place: place?.(['indices'], problem.key) }));
    const options = config.indices.map((index) => this.#withOptions(index, config, place));
    const problems = [...misnamed, ...options.flatMap((outcome) => outcome.problems ?? [])];
    if (problems.length > 0) throw problemsError('CFG_INVALID', file, problems);
    return { ...config, indices: options.flatMap(({ index }) => index ?? []) };
  }

  /** What an index says to its target, as the target understands it. */
  #withOptions(index: IndexDefinition, { targets }: TailraceConfig, place: PlaceOf | undefined): { readonly index?: IndexDefinition; readonly problems?: readonly Problem[] } {
    const { name, to, mapping, settings, ...rest } = index;
    const given = Object.entries({ mapping, settings }).filter(([, value]) => value !== undefined);
    if (given.length === 0) return { index };
    const type = targets.find((target) => target.name === to)?.type ?? '';
    const schema = this.#connectors.targets[type]?.indexSchema;
    const path = ['indices', name];
    if (schema === undefined) {
      return { problems: given.map(([key]) => ({ path, key, message: `\`${key}\` means nothing to the target \`${to}\`: targets of type \`${type}\` take none`, place: place?.(path, key) })) };
    }
    const result = problemsIn(schema, Object.fromEntries(given), place === undefined ? undefined : (inner, key) => place([...path, ...inner], key));
    if (result.problems !== undefined) return { problems: result.problems.map((problem) => ({ ...problem, path: [...path, ...problem.path] })) };
    return { index: { ...rest, name, to, ...(result.settings as IndexOptions) } };
  }

  /** Names that a target cannot give to an index, or not beside those before it. */
  #misnamed({ targets, indices }: TailraceConfig): Problem[] {
    return targets.flatMap((target) => {
      const names = indices.filter(({ to }) => to === target.name).map(({ name }) => name);
      return names.flatMap((name, i) => {
        const problem = this.#connectors.targets[target.type]?.nameProblem?.(name, names.slice(0, i));
        return problem === undefined ? [] : [{ path: ['indices', name], key: name, message: problem }];
      });
    });
  }

  /** The config with the paths of files that connectors are given made absolute. */
  withFilePaths(config: TailraceConfig, absolute: (path: string) => string): TailraceConfig {
    const resolved = (schemas: ConnectorSchemas['sources'], definitions: TailraceConfig['sources']): TailraceConfig['sources'] =>
      definitions.map((one) => {
        const schema = schemas[one.type]?.configSchema;
        return schema === undefined ? one : { ...one, settings: withFilePaths(one.settings, jsonSchemaOf(schema), absolute) as typeof one.settings };
      });
    return { ...config, sources: resolved(this.#connectors.sources, config.sources), targets: resolved(this.#connectors.targets, config.targets) };
  }

  #definitions(settings: Settings): TailraceConfig {
    const given = Object.entries(settings.targets).map(definition);
    const targets = given.length > 0 || this.#embedded === undefined ? given : [definition([EMBEDDED_TARGET, this.#embedded.parse({ type: EMBEDDED_TYPE }) as Typed])];
    const indices = Object.entries(settings.indices).map(([name, index]): IndexDefinition => ({ ...index, name, to: index.to ?? targets[0]?.name ?? EMBEDDED_TARGET }));
    return { ...settings, sources: Object.entries(settings.sources).map(definition), targets, indices };
  }
}

interface Typed {
  readonly type: string;
  readonly [setting: string]: unknown;
}

type Settings = Omit<z.output<typeof engineSettings>, 'sources' | 'targets'> & { readonly sources: Record<string, Typed>; readonly targets: Record<string, Typed> };

function definition([name, settings]: [string, Typed]): { readonly name: string; readonly type: string; readonly settings: Typed } {
  return { name, type: settings.type, settings };
}

function byType(connectors: Readonly<Record<string, { readonly configSchema: ZodType }>>): ZodType {
  const schemas = Object.values(connectors).map(({ configSchema }) => configSchema as z.ZodObject);
  return z.discriminatedUnion('type', schemas as [z.ZodObject, ...z.ZodObject[]]);
}

/** The schema of a config for these connectors. */
export function defineConfigSchema<const Schemas extends ConnectorSchemas>(connectors: Schemas): ConfigSchema<Schemas> {
  return new ConfigSchema(connectors);
}
