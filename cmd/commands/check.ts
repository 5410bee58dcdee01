/** `tailrace check`: what sources, targets and indices lack, each with what mends it. Nothing is changed. */
import type { TailraceConfig } from '../../src/config/definition.ts';
import type { IndexDefinition } from '../../src/config/index-settings.ts';
import type { Finding } from '../../src/connector/finding.ts';
import type { SourceConnector, TargetConnector } from '../../src/connector/registry.ts';
import type { TableDescription, TableRequest } from '../../src/connector/source.ts';
import { hintFor } from '../../src/errors/named-source.ts';
import { codeOf, TailraceError } from '../../src/errors/tailrace-error.ts';
import type { FieldPlan } from '../../src/connector/target.ts';
import { ExitCode } from '../../src/errors/policy.ts';
import { invariant } from '../../src/errors/invariant.ts';
import { Scrubber, secretsIn } from '../../src/observe/logging/scrub.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import type { Runtime } from '../../src/runtime/runtime.ts';
import { configOptions, jsonOption } from '../options.ts';
import { findingLines } from '../screens/findings.ts';
import { typed } from '../terminal/given-options.ts';
import { standardOutput } from '../terminal/output.ts';
import type { Paint } from '../terminal/table.ts';
import { counted } from '../terminal/units.ts';
import { defineVerb } from '../verb.ts';

/** How long one source or target may take to be looked at. */
const LOOK_WITHIN_MS = 60_000;

/** What was found at one source, target or index; the settings themselves are looked at before any of them. */
export interface Checked {
  readonly kind: 'source' | 'target' | 'index';
  readonly name: string;
  /** Of an index: that of its target. */
  readonly type: string;
  readonly findings: readonly Finding[];
}

export const checkVerb = defineVerb({
  command: 'check',
  describe: 'Look at config, sources, targets and indices, and print what is missing; nothing is changed',
  options: { ...configOptions, ...jsonOption },
  run: async (args) => {
    const [{ readConfig, transformOf }, { nodeRuntime }] = await Promise.all([import('../config-file.ts'), import('../../src/runtime/node/runtime.ts')]);
    const { config, path } = await readConfig(args);
    const scrubber = new Scrubber(secretsIn(config));
    const loadTransform = async (index: IndexDefinition): Promise<unknown> => transformOf(index, path);
    const checked = (await checkAll(config, loadTransform, nodeRuntime(silentLogger))).map((one) => scrubber.value(one) as Checked);
    const problems = checked.flatMap(({ findings }) => findings).filter(({ level }) => level === 'problem').length;
    if (args.json) standardOutput.write(`${JSON.stringify({ ok: problems === 0, config: path, checked })}\n`);
    else standardOutput.lines(checkScreen(path, checked, standardOutput.paint));
    return problems === 0 ? ExitCode.ok : ExitCode.no;
  },
});

type LoadTransform = (index: IndexDefinition) => Promise<unknown>;

async function checkAll(config: TailraceConfig, loadTransform: LoadTransform, runtime: Runtime): Promise<Checked[]> {
  const { connectors } = await import('../../connectors/index.ts');
  const tables = new Map<string, TableDescription>();
  const sources = config.sources.map(async ({ name, type, settings }): Promise<Checked> => {
    const connector = (connectors.sources as Readonly<Record<string, SourceConnector>>)[type];
    invariant(connector !== undefined, `the config was checked: there is a connector for ${type}`);
    return { kind: 'source', name, type, findings: await findings(name, async (signal) => {
      await using source = connector.create(settings, { name, runtime });
      const requests = tablesOf(config, name);
      const found = await source.check(requests, signal);
      // Where a connection cannot be had, that is the finding; its tables are not asked for a second time.
      if (found.some(({ level }) => level === 'ok')) for (const table of await source.describe(requests, signal)) tables.set(`${name}.${table.table}`, table);
      return found;
    }) };
  });
  const targets = config.targets.map(async ({ name, type, settings }): Promise<Checked> => {
    const connector = (connectors.targets as Readonly<Record<string, TargetConnector>>)[type];
    invariant(connector !== undefined, `the config was checked: there is a connector for ${type}`);
    return { kind: 'target', name, type, findings: await findings(undefined, async (signal) => {
      await using target = connector.create(settings, { name, runtime, dataDirectory: config.data_directory });
      return await target.check(signal);
    }) };
  });
  const around = await Promise.all([...sources, ...targets]);
  const indices = config.indices.map(async (index): Promise<Checked> => {
    const type = config.targets.find(({ name }) => name === index.to)?.type ?? '';
    return { kind: 'index', name: index.name, type, findings: await indexFindings(index, tables.get(`${index.from.source}.${index.from.table}`), (connectors.targets as Readonly<Record<string, TargetConnector>>)[type], loadTransform) };
  });
  return [...around, ...(await Promise.all(indices))];
}

/** Without the table only what would be wrong with any is found. */
async function indexFindings(index: IndexDefinition, table: TableDescription | undefined, target: TargetConnector | undefined, loadTransform: LoadTransform): Promise<Finding[]> {
  const subject = `index ${index.name}`;
  const [{ definitionProblems }, { planRow }] = await Promise.all([import('../../src/document/builder.ts'), import('../../src/document/row-plan.ts')]);
  const problems = definitionProblems(index, table?.schema);
  try {
    await loadTransform(index);
  } catch (error) {
    // A module that cannot be loaded is a finding like the others.
    if (codeOf(error) !== 'CFG_TRANSFORM') throw error;
    problems.push(error as TailraceError);
  }
  if (problems.length > 0) return problems.map((problem) => definitionFinding(index, problem));
  const unfit = table === undefined ? [] : fieldFindings(index, planRow(index, table.schema).fields, target);
  if (unfit.length > 0) return unfit;
  const name = `${index.from.source}.${index.from.table}`;
  return [table === undefined ? { level: 'warning', subject, message: `it was not held against ${name}, which could not be looked at` } : { level: 'ok', subject, message: `fits ${name}` }];
}

/** Columns whose names its target takes for no field. What a transform makes of them is not known here. */
function fieldFindings(index: IndexDefinition, fields: readonly FieldPlan[], target: TargetConnector | undefined): Finding[] {
  if (index.transform !== undefined) return [];
  return fields.flatMap(({ name }): Finding[] => {
    const problem = target?.fieldProblem?.(name);
    return problem === undefined ? [] : [{ level: 'problem', subject: `index ${index.name}`, message: `no document can have the field \`${name}\` at target ${index.to}: it ${problem}`, code: 'TGT_MAPPING', fix: `Give it another name, or leave it out, with \`indices.${index.name}.fields\`.` }];
  });
}

/** A misfit has the setting as its entity. Whether the table has changed, or the setting never fitted, is not known here: the hint of the code would tell of the first only. */
function definitionFinding(index: IndexDefinition, { code, message, hint, entity }: TailraceError): Finding {
  const fix = code === 'SRC_DDL' ? `Correct ${entity === undefined ? `indices.${index.name}` : `\`${entity}\``} in the config, or give the table what it needs.` : hintFor(hint, index.from.source);
  return { level: 'problem', subject: `index ${index.name}`, message: message.replace(/\.$/, ''), code, fix };
}

/** What a look finds; a look that fails with an error of ours is a finding too. */
async function findings(source: string | undefined, look: (signal: AbortSignal) => Promise<Finding[]>): Promise<Finding[]> {
  const signal = AbortSignal.timeout(LOOK_WITHIN_MS);
  try {
    return (await look(signal)).map((finding) => (finding.fix === undefined ? finding : { ...finding, fix: hintFor(finding.fix, source) }));
  } catch (error) {
    if (signal.aborted) return [{ level: 'problem', subject: 'answer', message: `there was none within ${LOOK_WITHIN_MS / 1000} s`, code: 'TIMED_OUT' }];
    const code = codeOf(error);
    if (code === undefined || !(error instanceof TailraceError)) throw error;
    return [{ level: 'problem', subject: 'connection', message: error.message, code, fix: hintFor(error.hint, source) }];
  }
}

function tablesOf(config: TailraceConfig, source: string): TableRequest[] {
  const tables = new Map<string, TableRequest>();
  for (const { from, key } of config.indices) if (from.source === source) tables.set(from.table, { table: from.table, key });
  return [...tables.values()];
}

function checkScreen(path: string, checked: readonly Checked[], paint: Paint): string[] {
  // What a source says of its own settings is said when it is looked at: until then the config is only well-formed.
  const isSound = checked.every(({ findings: found }) => found.every(({ code }) => code === undefined || !code.startsWith('CFG_')));
  const lines = [isSound ? `${paint('green', 'ok')} config ${path}` : `${paint('red', '✗')} config ${path}, see below`];
  for (const { kind, name, type, findings: found } of checked) {
    lines.push('', paint('bold', `${kind} ${name} (${type})`), ...found.flatMap((finding) => findingLines(finding, paint)));
  }
  const all = checked.flatMap(({ findings: found }) => found);
  const problems = all.filter(({ level }) => level === 'problem').length;
  const warnings = all.filter(({ level }) => level === 'warning').length;
  const verdict = problems === 0 ? `${paint('green', 'Ready')}: \`tailrace run\`` : `${paint('red', counted(problems, 'problem'))}: mend ${problems === 1 ? 'it' : 'them'}, then check again.`;
  return [...lines, '', ...typed([warnings === 0 ? verdict : `${verdict} (${counted(warnings, 'warning')})`])];
}
