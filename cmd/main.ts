/** The command line: finds the verb, runs it, prints what went wrong, ends with the documented exit status. */
import yargs from 'yargs';
import { ExitCode, exitCodeOf } from '../src/errors/policy.ts';
import { systemCodeOf } from '../src/errors/system-code.ts';
import { isAbort, TailraceError } from '../src/errors/tailrace-error.ts';
import { errorJson, errorLines } from './terminal/error-text.ts';
import { standardError, standardOutput } from './terminal/output.ts';
import { everywhereOptions } from './options.ts';
import { usageError } from './usage.ts';
import { addVerb, nameOf } from './verb.ts';
import { verbs } from './verbs.ts';
import { packageVersion } from './version.ts';

const WIDTH_MAX = 110;

/** Runs the command and ends the process. */
export async function main(args: readonly string[]): Promise<never> {
  process.on('uncaughtException', (error) => {
    // Written at once: nothing may be waited for in a process that is broken.
    report(error, args);
    process.exit(ExitCode.invariant);
  });
  let code: ExitCode;
  let hasFailed = false;
  try {
    code = await perform(args);
  } catch (error) {
    // Work that was told to stop ends with this.
    if (!isAbort(error)) report(error, args);
    code = exitCodeOf(error);
    hasFailed = true;
  }
  await standardOutput.drained();
  const { failure } = standardOutput;
  if (failure !== undefined) {
    const lost = outputLost(failure);
    report(lost, args);
    // What went wrong before is more than that nobody could be told of it; an answer, be it no, is nothing without being told.
    if (!hasFailed) code = exitCodeOf(lost);
  }
  await standardError.drained();
  process.exit(code);
}

async function perform(args: readonly string[]): Promise<ExitCode> {
  let code: ExitCode = ExitCode.ok;
  const parser = yargs([...args])
    .scriptName('tailrace')
    .usage('$0 VERB [options]\n\nKeeps search and embedding indices exactly in step with the databases they are made from.')
    .locale('en')
    .parserConfiguration({ 'camel-case-expansion': false, 'dot-notation': false, 'greedy-arrays': false, 'parse-numbers': false, 'parse-positional-numbers': false })
    .options({ ...everywhereOptions })
    .strict()
    .demandCommand(1, `\`tailrace\` needs a verb: ${verbs.map(nameOf).join(', ')}.`)
    .version(packageVersion())
    .help()
    .epilogue('`tailrace VERB --help` tells more. Exit statuses and the shapes of --json are in docs/cli.md.')
    .wrap(Math.min(WIDTH_MAX, standardOutput.columns))
    .exitProcess(false)
    .fail((message, error) => {
      throw error instanceof TailraceError ? error : usageError(message ?? error.message, args, verbs);
    });
  for (const verb of verbs) addVerb(parser, verb, (given) => (code = given));
  await parser.parseAsync();
  return code;
}

/** A redirected answer that ends in the middle must not look like a whole one. */
function outputLost(cause: Error): TailraceError {
  const isFull = systemCodeOf(cause) === 'ENOSPC';
  return new TailraceError(isFull ? 'DISK_FULL' : 'DISK_FAILED', {
    message: `Standard output cannot be written: ${isFull ? 'the disk is full' : cause.message}. What it got is not complete.`,
    did: 'tailrace stopped writing; nothing else was changed.',
    hint: 'Send the output to where there is room, and run the command again.',
    cause,
  });
}

function report(error: unknown, args: readonly string[]): void {
  const debug = args.includes('--debug');
  if (args.includes('--json')) standardOutput.write(`${errorJson(error, { debug, args })}\n`);
  standardError.lines(errorLines(error, { debug, args, paint: standardError.paint }));
}
