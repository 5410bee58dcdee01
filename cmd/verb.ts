/** How a verb of the command line is declared: one file for each in `commands/`. */
import type { Argv, InferredOptionTypes, Options, PositionalOptions } from 'yargs';
import { catalogue } from '../src/errors/catalogue.ts';
import { dispositionOf, type ExitCode } from '../src/errors/policy.ts';
import { TailraceError } from '../src/errors/tailrace-error.ts';
import { everywhereOptions } from './options.ts';

export type VerbOptions = Readonly<Record<string, Options>>;
export type VerbPositionals = Readonly<Record<string, PositionalOptions>>;

export interface Verb {
  /** As yargs reads it: `search <index> <query>`. */
  readonly command: string;
  readonly describe: string;
  readonly options: VerbOptions;
  readonly positionals: VerbPositionals;
  /** Verbs below this one: `log stat`. A verb that has some does nothing itself. */
  readonly verbs: readonly Verb[];
  readonly examples: readonly (readonly [command: string, what: string])[];
  /** It goes on until it is stopped, and tries again what a pause may mend; all others answer once. */
  readonly staysUp: boolean;
  readonly run: (args: Readonly<Record<string, unknown>>) => Promise<ExitCode>;
}

type Declared<O extends VerbOptions, P extends VerbPositionals> = InferredOptionTypes<{ [K in keyof O]: O[K] }> & InferredOptionTypes<{ [K in keyof P]: P[K] }>;

export interface VerbDefinition<O extends VerbOptions, P extends VerbPositionals> {
  readonly command: string;
  readonly describe: string;
  readonly options: O;
  readonly positionals?: P;
  readonly examples?: Verb['examples'];
  readonly staysUp?: boolean;
  readonly run: (args: Declared<O, P>) => Promise<ExitCode>;
}

/** A verb whose `run` gets its options with the types that they are declared with. */
export function defineVerb<const O extends VerbOptions, const P extends VerbPositionals = Record<never, never>>(definition: VerbDefinition<O, P>): Verb {
  // yargs has checked the values against the very declarations that the types are made from.
  const run = definition.run as Verb['run'];
  return { positionals: {}, examples: [], staysUp: false, ...definition, verbs: [], run };
}

/** A verb that only groups others. */
export function groupVerbs(command: string, describe: string, verbs: readonly Verb[]): Verb {
  const run = (): Promise<ExitCode> => Promise.reject(new Error('yargs asks for a verb below this one'));
  return { command, describe, options: {}, positionals: {}, examples: [], staysUp: false, verbs, run };
}

/** Adds the verb to a parser. `onExit` gets what it returns; `above` is what is typed before it. */
export function addVerb(parser: Argv, verb: Verb, onExit: (code: ExitCode) => void, above = 'tailrace'): Argv {
  const path = `${above} ${nameOf(verb)}`;
  const build = (inner: Argv): Argv => {
    for (const [name, option] of Object.entries(verb.positionals)) inner.positional(name, option);
    inner.options({ ...verb.options });
    for (const [command, what] of verb.examples) inner.example(command, what);
    for (const below of verb.verbs) addVerb(inner, below, onExit, path);
    return verb.verbs.length > 0 ? inner.demandCommand(1, `\`tailrace ${verb.command}\` needs one of: ${verb.verbs.map(nameOf).join(', ')}.`) : inner;
  };
  return parser.command(verb.command, verb.describe, build, async (args) => {
    if (verb.verbs.length > 0) return;
    try {
      refuseRepeated(args, verb);
      refuseContrary(process.argv.slice(2), verb);
      onExit(await verb.run(args));
    } catch (error) {
      throw withHelp(verb.staysUp ? error : answeredOnce(error), path);
    }
  });
}

/** What the catalogue says that tailrace does about an error is what a daemon does: a verb that answers once tries nothing again. */
export function answeredOnce(error: unknown): unknown {
  if (!(error instanceof TailraceError) || error.did !== catalogue[error.code].did) return error;
  const disposition = dispositionOf(error);
  if (disposition !== 'backoff' && disposition !== 'pause' && disposition !== 'look_again') return error;
  const { code, message, hint, entity, cause } = error;
  return new TailraceError(code, { message, did: 'Nothing was changed, and the command does not try again.', hint, entity, cause });
}

/** What a verb says of its own options without a hint leads to its own help. */
function withHelp(error: unknown, path: string): unknown {
  if (!(error instanceof TailraceError) || error.code !== 'USAGE' || error.hint !== catalogue.USAGE.hint) return error;
  const { message, did, entity, cause } = error;
  return new TailraceError('USAGE', { message, did, entity, cause, hint: `See \`${path} --help\`.` });
}

/** yargs makes a list of an option that is given twice. Which of the two was meant is nobody's to guess. */
function refuseRepeated(args: Readonly<Record<string, unknown>>, verb: Verb): void {
  for (const [name, { type, array }] of Object.entries<Options>({ ...verb.options, ...everywhereOptions })) {
    if (Array.isArray(args[name]) && type !== 'array' && array !== true) throw new TailraceError('USAGE', { message: `\`--${name}\` is given more than once.` });
  }
}

/** Of `--watch --no-watch` yargs takes the last. */
function refuseContrary(typed: readonly string[], verb: Verb): void {
  const words = new Set(typed.slice(0, typed.includes('--') ? typed.indexOf('--') : undefined));
  for (const [name, { type }] of Object.entries<Options>({ ...verb.options, ...everywhereOptions })) {
    if (type === 'boolean' && words.has(`--${name}`) && words.has(`--no-${name}`)) throw new TailraceError('USAGE', { message: `\`--${name}\` and \`--no-${name}\` are given: one of them is meant.` });
  }
}

/** `search` of `search <index> <query>`. */
export function nameOf({ command }: Verb): string {
  return command.split(' ')[0] ?? command;
}
