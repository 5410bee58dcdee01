/** Looks at a database, proposes an index for each table that can have one, and writes that as a config: to a file that was not there before, without any secret. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { connectors } from '../../connectors/index.ts';
import { defineConfigSchema } from '../../src/config/config-schema.ts';
import { jsonSchemaOf } from '../../src/config/json-schema.ts';
import { loadConfig } from '../../src/config/load.ts';
import { sentence, suggestion } from '../../src/config/nearest.ts';
import { configText, scalar, type ProposedEnd } from '../../src/config/proposal-text.ts';
import { plain, propose } from '../../src/config/proposal.ts';
import type { SourceConnector, TargetConnector } from '../../src/connector/registry.ts';
import type { SourceSurvey, SourceSurveyor, SurveyedTable } from '../../src/connector/survey.ts';
import { ExitCode } from '../../src/errors/policy.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import { initJson, initScreen, type NeededVariable } from '../screens/init-screen.ts';
import { standardOutput } from '../terminal/output.ts';

/** How long the database may take to tell of its tables. */
const LOOK_WITHIN_MS = 60_000;

const TARGET_NAME = 'search';
const NOTHING_WRITTEN = 'Nothing was written.';

export interface InitArguments {
  readonly url: string;
  readonly to?: string | undefined;
  readonly tables?: readonly string[] | undefined;
  readonly out: string;
  readonly json: boolean;
}

/** Errors: USAGE, SRC_*, DISK_FULL. Status 1 when no table can be indexed as it is. */
export async function init(args: InitArguments): Promise<ExitCode> {
  const path = resolve(args.out);
  if (existsSync(path)) throw thereAlready(path);
  const { type, surveyor, config } = sourceOf(args.url);
  const to = args.to === undefined ? null : targetOf(args.to);
  const survey = await surveyed(type, surveyor, config);
  if (survey.tables.length === 0) throw noTables(survey);
  const proposal = propose(selected(survey.tables, args.tables ?? []), to?.nameProblem ?? connectors.targets.sqlite.nameProblem);
  const name = plain(survey.database, type);
  const source = { name, variable: variableOf(name) };
  const environment: NeededVariable[] = [{ name: source.variable, what: `the url of ${survey.database}, as it was given to init` }];
  const target = to === null ? null : proposedTarget(to, source.variable, environment);
  const text = configText({ source: { name, settings: { type, url: `!env ${source.variable}` } }, target, proposal });
  const report = { written: proposal.indices.length === 0 ? null : path, source: { name, type, database: survey.database }, target: to === null ? null : { name: TARGET_NAME, type: to.type }, environment, proposal, others: survey.others };
  if (report.written !== null) {
    // What is proposed can be loaded, or it is not written.
    await loadConfig({ text, path, schema: defineConfigSchema(connectors), secrets: { environment: (variable) => (variable === source.variable ? args.url : (to?.url ?? 'x')), readFile: async () => Promise.resolve('x') } });
    await write(path, text);
  }
  if (args.json) standardOutput.write(initJson(report));
  else standardOutput.lines(initScreen(report, standardOutput.paint));
  return report.written === null ? ExitCode.no : ExitCode.ok;
}

interface GivenSource {
  readonly type: string;
  readonly surveyor: SourceSurveyor<unknown>;
  readonly config: unknown;
}

/** The url itself is never shown: it may hold a password. */
function sourceOf(url: string): GivenSource {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(url)?.[1]?.toLowerCase();
  const known: readonly SourceConnector[] = Object.values(connectors.sources);
  const connector = known.find(({ surveyor }) => scheme !== undefined && surveyor?.urlSchemes.includes(scheme));
  if (connector?.surveyor === undefined) {
    const schemes = known.flatMap(({ surveyor }) => surveyor?.urlSchemes ?? []).map((one) => `${one}://`);
    throw new TailraceError('USAGE', { message: scheme === undefined ? 'The url of the database does not begin like one.' : `No source is read whose url begins with ${scheme}://.`, did: NOTHING_WRITTEN, hint: `Give one that begins with ${schemes.join(' or ')}.` });
  }
  return { type: connector.type, surveyor: connector.surveyor, config: connector.configSchema.parse({ type: connector.type, url }) };
}

async function surveyed(type: string, surveyor: SourceSurveyor<unknown>, config: unknown): Promise<SourceSurvey> {
  const signal = AbortSignal.timeout(LOOK_WITHIN_MS);
  try {
    return await surveyor.survey(config, { name: type, runtime: nodeRuntime(silentLogger) }, signal);
  } catch (error) {
    if (signal.aborted) throw new TailraceError('TIMED_OUT', { message: `The database did not tell of its tables within ${LOOK_WITHIN_MS / 1000} s.`, did: NOTHING_WRITTEN, cause: error });
    // The catalogue says what a daemon does about it.
    if (error instanceof TailraceError) throw new TailraceError(error.code, { message: error.message, did: NOTHING_WRITTEN, hint: error.hint, entity: error.entity, cause: error.cause });
    throw error;
  }
}

interface GivenTarget {
  readonly type: string;
  /** Undefined where the type alone was given. */
  readonly url: string | undefined;
  /** The setting that says where it is, and whether that is a secret. */
  readonly setting: { readonly name: string; readonly secret: boolean };
  readonly nameProblem: TargetConnector['nameProblem'];
}

/** Reads `opensearch=https://localhost:9200`. */
function targetOf(text: string): GivenTarget {
  const [, type = '', , url] = /^([^=]*)(=(.*))?$/s.exec(text) ?? [];
  const known: Readonly<Record<string, TargetConnector>> = connectors.targets;
  const connector = Object.hasOwn(known, type) ? known[type] : undefined;
  const types = Object.keys(known);
  if (connector === undefined) throw new TailraceError('USAGE', { message: sentence(`\`--to\` begins with a type of target, which ${/^\w*$/.test(type) ? `\`${type}\`` : 'this'} is not${suggestion(type, types)}`), did: NOTHING_WRITTEN, hint: `Write \`--to TYPE=URL\`; there are: ${types.join(', ')}.` });
  const { properties = {} } = jsonSchemaOf(connector.configSchema);
  const name = ['url', 'path'].find((candidate) => candidate in properties) ?? 'url';
  const secret = properties[name]?.secret === true;
  if (secret && url !== undefined && !URL.canParse(url)) throw new TailraceError('USAGE', { message: `What \`--to ${type}=\` is followed by is no url.`, did: NOTHING_WRITTEN, hint: `Write \`--to ${type}=https://host:9200\`.` });
  return { type, url: url === '' ? undefined : url, setting: { name, secret }, nameProblem: connector.nameProblem };
}

/** Adds to `environment` what the target needs of it. */
function proposedTarget({ type, url, setting }: GivenTarget, taken: string, environment: NeededVariable[]): ProposedEnd {
  if (!setting.secret) return { name: TARGET_NAME, settings: { type, ...(url === undefined ? {} : { [setting.name]: scalar(url) }) } };
  const own = variableOf(TARGET_NAME);
  const variable = own === taken ? variableOf(`${TARGET_NAME}_target`) : own;
  environment.push({ name: variable, what: url === undefined ? `the url of the ${type} target` : `the url of the ${type} target, as it was given to init` });
  return { name: TARGET_NAME, settings: { type, [setting.name]: `!env ${variable}` } };
}

/** `SHOP_URL` */
function variableOf(name: string): string {
  return `${name.replaceAll('-', '_').toUpperCase()}_URL`;
}

function selected(tables: readonly SurveyedTable[], given: readonly string[]): readonly SurveyedTable[] {
  const names = tables.map(({ schema, name }) => `${schema}.${name}`);
  // A table's name may have a comma in it.
  const patterns = given.flatMap((text) => (names.includes(text) ? [text] : text.split(','))).map((text) => text.trim()).filter((text) => text !== '');
  if (patterns.length === 0) return tables;
  const takes = (pattern: string, { schema, name }: SurveyedTable): boolean => matches(pattern, `${schema}.${name}`) || matches(pattern, name);
  for (const pattern of patterns) {
    if (tables.some((table) => takes(pattern, table))) continue;
    throw new TailraceError('USAGE', { message: sentence(`The database has no table \`${pattern}\` that could be indexed${suggestion(pattern, [...names, ...tables.map(({ name }) => name)])}`), did: NOTHING_WRITTEN, hint: 'Name tables as `schema.table` or `table`; `*` stands for anything.' });
  }
  return tables.filter((table) => patterns.some((pattern) => takes(pattern, table)));
}

function matches(pattern: string, name: string): boolean {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`));
  return new RegExp(`^${parts.join('.*')}$`, 's').test(name);
}

function noTables({ database, others }: SourceSurvey): TailraceError {
  const besides = others.length === 0 ? '' : `, only ${others.join(', ')}`;
  return new TailraceError('SRC_TABLE_MISSING', { message: `The database ${database} has no table of its own that could be indexed${besides}.`, did: NOTHING_WRITTEN, hint: 'Name another database in the url; views and foreign tables write no changes that could be followed.', entity: database });
}

function thereAlready(path: string): TailraceError {
  return new TailraceError('USAGE', { message: `The file ${path} is there already.`, did: 'It was left as it is.', hint: 'Name another one with `--out FILE`, or move it away.' });
}

async function write(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text, { flag: 'wx' });
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
    if (code === 'EEXIST') throw thereAlready(path);
    throw new TailraceError(code === 'ENOSPC' ? 'DISK_FULL' : 'USAGE', { message: `The file ${path} cannot be written (${code}).`, did: NOTHING_WRITTEN, hint: 'Name another place with `--out FILE`.', cause });
  }
}
