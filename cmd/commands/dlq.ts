/** `tailrace dlq ...`: the documents that are parked, why, and what is to become of them. */
import { existsSync } from 'node:fs';
import type { TailraceConfig } from '../../src/config/definition.ts';
import { sentence, suggestion } from '../../src/config/nearest.ts';
import { catalogue } from '../../src/errors/catalogue.ts';
import { ExitCode } from '../../src/errors/policy.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { layoutOf } from '../../src/pipeline/layout.ts';
import type { RetryReport } from '../../src/pipeline/retry-letters.ts';
import type { DeadLetterFilter } from '../../src/state/state-store.ts';
import type { Reading } from '../daemon/reading.ts';
import { refuseUnknownIndex } from '../index-name.ts';
import { configOptions, jsonOption } from '../options.ts';
import { letterJson, letterLines, letterScreen, LETTERS_SHOWN, type ShownLetter } from '../screens/dead-letters.ts';
import { typed } from '../terminal/given-options.ts';
import { standardOutput } from '../terminal/output.ts';
import { counted } from '../terminal/units.ts';
import { defineVerb, groupVerbs } from '../verb.ts';

const codeOption = { code: { type: 'string', requiresArg: true, describe: 'Only those with this error code: TGT_REJECTED' } } as const;

const listVerb = defineVerb({
  command: 'list [index]',
  describe: 'List parked documents, the oldest change of each index first',
  options: {
    ...configOptions,
    ...jsonOption,
    ...codeOption,
    limit: { type: 'string', requiresArg: true, describe: `Most of them; by default ${LETTERS_SHOWN}, with --json all` },
    after: { type: 'string', requiresArg: true, describe: 'Only those behind this one: INDEX/GENERATION/SEQ' },
  },
  positionals: { index: { type: 'string', describe: 'Only those of this index' } },
  examples: [['$0 dlq list products --code DOC_TOO_LARGE', 'What is too large of one index']],
  run: async (args) => {
    const filter = { index: args.index, code: knownCode(args.code) };
    const limit = args.limit === undefined ? (args.json ? Infinity : LETTERS_SHOWN) : wholeNumber('limit', args.limit);
    const [{ readConfig }, { openReading }] = await Promise.all([import('../config-file.ts'), import('../daemon/reading.ts')]);
    const { config } = await readConfig(args);
    await using reading = await openReading(config);
    let left = limit;
    for await (const page of reading.deadLetters(filter, args.after)) {
      // An index that the config names no more may have some still.
      if (page.total === 0 && args.index !== undefined) refuseUnknownIndex(args.index, config);
      const letters = page.dead_letters.slice(0, left);
      left -= letters.length;
      if (args.json) standardOutput.write(letters.map((letter) => `${JSON.stringify(letter)}\n`).join(''));
      // People are shown a table, which is one page at most.
      else standardOutput.lines(letterScreen({ total: page.total, letters, isFirst: args.after === undefined, isLast: page.next === null && letters.length === page.dead_letters.length }, standardOutput.paint));
      await standardOutput.drained();
      if (standardOutput.closed.aborted || left <= 0 || !args.json) break;
    }
    return ExitCode.ok;
  },
});

const oneOf = { index: { type: 'string', demandOption: true, describe: 'Name of the index' } } as const;

const showVerb = defineVerb({
  command: 'show <index> <id>',
  describe: 'Show why a document is parked, and its change; what the row holds only with --values',
  options: { ...configOptions, ...jsonOption, values: { type: 'boolean', default: false, describe: 'Show what the row holds' } },
  positionals: { ...oneOf, id: { type: 'string', demandOption: true, describe: 'Id of the document' } },
  run: async (args) => {
    const [{ readConfig }, { openReading }] = await Promise.all([import('../config-file.ts'), import('../daemon/reading.ts')]);
    const { config } = await readConfig(args);
    await using reading = await openReading(config);
    let shown = 0;
    for await (const page of reading.deadLetters({ index: args.index, id: args.id })) {
      for (const letter of page.dead_letters) {
        const one: ShownLetter = { ...letter, hint: hintOf(letter.code), entry: await entryAt(reading, letter.seq) };
        shown += 1;
        if (args.json) standardOutput.write(letterJson(one, args.values));
        else standardOutput.lines(letterLines(one, args.values, standardOutput.paint));
      }
    }
    if (shown > 0) return ExitCode.ok;
    refuseUnknownIndex(args.index, config);
    if (!args.json) standardOutput.lines(typed([`No document of ${args.index} with this id is parked: \`tailrace trace ${args.index} ID\``]));
    return ExitCode.no;
  },
});

/** The change as a line of `log dump`; null when the log does not hold it any more. */
async function entryAt(reading: Reading, seq: number): Promise<string | null> {
  for await (const lines of reading.logEntries({ first: seq, last: seq, follow: false, rows: true }, standardOutput.closed)) return lines.trimEnd();
  return null;
}

const dropVerb = defineVerb({
  command: 'drop <index> [ids..]',
  describe: 'Forget parked documents: the index does without them until their rows change',
  options: { ...configOptions, ...jsonOption, ...codeOption, all: { type: 'boolean', default: false, describe: 'All of the index' } },
  positionals: { ...oneOf, ids: { type: 'string', array: true, describe: 'Ids of the documents' } },
  examples: [['$0 dlq drop products 57', 'Do without the document 57'], ['$0 dlq drop products --code DOC_TOO_LARGE', 'Do without all that are too large']],
  run: async (args) => {
    const filters = filtersOf(args, 'dropped');
    const { readConfig } = await import('../config-file.ts');
    const { config } = await readConfig(args);
    const dropped = await dropAll(config, filters);
    if (dropped === 0) refuseUnknownIndex(args.index, config);
    if (args.json) standardOutput.write(`${JSON.stringify({ index: args.index, dropped })}\n`);
    else standardOutput.lines([dropped === 0 ? 'No such document is parked.' : `${counted(dropped, 'dead letter is', 'dead letters are')} dropped. The index does without their documents until the rows change.`]);
    return dropped === 0 ? ExitCode.no : ExitCode.ok;
  },
});

const retryVerb = defineVerb({
  command: 'retry <index> [ids..]',
  describe: 'Have the rows of parked documents read again, when what was in the way is mended; the daemon must run',
  options: { ...configOptions, ...jsonOption, ...codeOption, all: { type: 'boolean', default: false, describe: 'All of the index' } },
  positionals: { ...oneOf, ids: { type: 'string', array: true, describe: 'Ids of the documents' } },
  examples: [['$0 dlq retry products --code DOC_TOO_LARGE', 'After `max_document_bytes` was raised']],
  run: async (args) => {
    const filters = filtersOf(args, 'tried again');
    const [{ readConfig }, { socketPathOf }, { askDaemon, daemonAnswers }] = await Promise.all([import('../config-file.ts'), import('../daemon/reading.ts'), import('../daemon/admin-client.ts')]);
    const { config } = await readConfig(args);
    refuseUnknownIndex(args.index, config);
    const socketPath = socketPathOf(config);
    if (!(await daemonAnswers(socketPath))) throw new TailraceError('NOT_RUNNING', { message: 'No daemon runs that could read rows again.' });
    let asked = 0;
    const snapshots: number[] = [];
    for (const filter of filters) {
      const answer = JSON.parse(await askDaemon(socketPath, { path: '/v1/dead-letters/retry', method: 'POST', query: queryOf(filter) })) as RetryReport;
      asked += answer.asked;
      snapshots.push(...answer.snapshots);
    }
    if (args.json) standardOutput.write(`${JSON.stringify({ index: args.index, asked, snapshots })}\n`);
    else standardOutput.lines(typed([`${counted(asked, 'row is', 'rows are')} read again. What still makes no document is parked again: \`tailrace dlq list ${args.index}\``]));
    return ExitCode.ok;
  },
});

interface Chosen {
  readonly index: string;
  readonly ids?: readonly string[] | undefined;
  readonly code?: string | undefined;
  readonly all: boolean;
}

/** Which letters are meant. Throws USAGE unless that is said in one way: a slip must not drop all of them. */
function filtersOf({ index, ids = [], code, all }: Chosen, what: string): readonly DeadLetterFilter[] {
  const ways = [ids.length > 0, code !== undefined, all].filter(Boolean).length;
  if (ways !== 1) throw new TailraceError('USAGE', { message: `What is to be ${what} is said in one way: by ids, by \`--code\`, or with \`--all\`.` });
  return ids.length > 0 ? ids.map((id) => ({ index, id })) : [{ index, code: knownCode(code) }];
}

function queryOf({ index, id, code }: DeadLetterFilter): Record<string, string> {
  return Object.fromEntries(Object.entries({ index, id, code }).filter((entry): entry is [string, string] => entry[1] !== undefined));
}

/** Through the daemon when one runs, else in its data directory, with its lock. */
async function dropAll(config: TailraceConfig, filters: readonly DeadLetterFilter[]): Promise<number> {
  const [{ socketPathOf }, { askDaemon, daemonAnswers }] = await Promise.all([import('../daemon/reading.ts'), import('../daemon/admin-client.ts')]);
  const socketPath = socketPathOf(config);
  let dropped = 0;
  if (await daemonAnswers(socketPath)) {
    for (const filter of filters) {
      const answer = JSON.parse(await askDaemon(socketPath, { path: '/v1/dead-letters/drop', method: 'POST', query: queryOf(filter) })) as { readonly dropped: number };
      dropped += answer.dropped;
    }
    return dropped;
  }
  const [{ takeLock }, { openSqliteState }, { dropLetters }] = await Promise.all([import('../../src/state/lock.ts'), import('../../src/state/sqlite-state.ts'), import('../../src/pipeline/drop-letters.ts')]);
  const layout = layoutOf(config.data_directory);
  if (!existsSync(layout.state)) throw new TailraceError('NOT_RUNNING', { message: `No daemon runs, and none has run yet: there is nothing in ${layout.directory}.` });
  using _lock = takeLock(layout.lock);
  using state = openSqliteState({ path: layout.state });
  for (const filter of filters) dropped += dropLetters(state, filter);
  return dropped;
}

/** Throws USAGE for a code that no error has. */
function knownCode(code: string | undefined): string | undefined {
  if (code === undefined || Object.hasOwn(catalogue, code)) return code;
  throw new TailraceError('USAGE', { message: sentence(`No error has the code \`${code}\`${suggestion(code, Object.keys(catalogue))}`), hint: 'docs/errors.md has all of them.' });
}

function hintOf(code: string): string | null {
  return Object.hasOwn(catalogue, code) ? catalogue[code as keyof typeof catalogue].hint : null;
}

function wholeNumber(name: string, text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new TailraceError('USAGE', { message: `\`--${name}\` is a whole number, 1 or more.` });
  return Number(text);
}

export const dlqVerb = groupVerbs('dlq', 'Dead letters: documents that a target refused for good', [listVerb, showVerb, retryVerb, dropVerb]);
