/** What was wrong with the command, and what was probably meant. */
import { nearest } from '../src/config/nearest.ts';
import { TailraceError } from '../src/errors/tailrace-error.ts';
import { everywhereOptions } from './options.ts';
import { nameOf, type Verb } from './verb.ts';

/** The error for a message of yargs. Of its sentences only the names in them are used. */
export function usageError(message: string, args: readonly string[], verbs: readonly Verb[]): TailraceError {
  const path = verbPath(args, verbs);
  const verb = path.at(-1);
  const command = ['tailrace', ...path.map(nameOf)].join(' ');
  const [, kind, list] = /^Unknown (argument|command)s?: (.*)$/.exec(message) ?? [];
  if (message.startsWith('Not enough non-option arguments') && verb !== undefined) return new TailraceError('USAGE', { message: `\`${command}\` lacks an argument.`, hint: `Type \`${usageOf(path)}\`.` });
  if (kind === undefined || list === undefined) return new TailraceError('USAGE', { message: sentence(message), hint: `See \`${command} --help\`.` });
  const [unknown = ''] = list.split(', ');
  // An option is what was written as one; the rest are verbs.
  const typed = args.map((arg) => arg.replace(/=.*/, '')).find((arg) => arg === `--${unknown}` || (unknown.length === 1 && /^-[^-]/.test(arg) && arg.includes(unknown)));
  const isOption = typed !== undefined;
  const knownNames = isOption ? optionNames(verb) : (verb === undefined ? verbs : verb.verbs).map(nameOf);
  const near = nearest(unknown, knownNames);
  const shown = isOption ? `${typed.startsWith('--') ? '--' : '-'}${unknown}` : unknown;
  const what = isOption ? `option \`${shown}\`` : knownNames.length === 0 ? `argument \`${shown}\`` : `verb \`${shown}\``;
  const takesWords = isOption && verb !== undefined && Object.values(verb.positionals).some(({ array }) => array === true);
  const behindDashes = takesWords ? ' Words that begin with `-` go behind `--`.' : '';
  const suggested = near === undefined ? `See \`${command} --help\`.${behindDashes}` : `Did you mean \`${isOption ? '--' : ''}${near}\`? See \`${command} --help\`.`;
  return new TailraceError('USAGE', { message: `\`${command}\` knows no ${what}.`, hint: suggested });
}

/** `tailrace search INDEX QUERY` */
function usageOf(path: readonly Verb[]): string {
  const [last] = path.slice(-1);
  const words = [...path.slice(0, -1).map(nameOf), last?.command ?? ''].join(' ');
  return `tailrace ${words.replaceAll(/[<[](\w+)(?:\.\.)?[>\]]/g, (_, name: string) => name.toUpperCase())}`;
}

/** The verb that was named, with those above it. */
function verbPath(args: readonly string[], verbs: readonly Verb[]): Verb[] {
  const path: Verb[] = [];
  let known = verbs;
  for (const arg of args) {
    const verb = known.find((candidate) => nameOf(candidate) === arg);
    if (verb === undefined) continue;
    path.push(verb);
    known = verb.verbs;
  }
  return path;
}

function optionNames(verb: Verb | undefined): string[] {
  return [...Object.keys(verb?.options ?? {}), ...Object.keys(everywhereOptions), 'help', 'version'];
}

function sentence(message: string): string {
  const [first = ''] = message.split('\n');
  return /[.!?]$/.test(first) ? first : `${first}.`;
}
