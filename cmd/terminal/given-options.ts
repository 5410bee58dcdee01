/**
 * Commands in hints, as they have to be typed here: with the config and the data directory that this command was given. Without them they would
 * be about another pipeline, or about none.
 */

/** Verbs that take a config. */
const COMMAND = /^tailrace (?:run|status|lag|check|search|positions|log|dlq|trace|plan|resync|generations|verify)\b(?!.*--help)/;

/** Options that say which pipeline is meant. */
const NAMES = ['--config', '--data-directory'];

/** Returns what makes a command of ours, `tailrace status`, one about the pipeline that `args` (of the command line) name. */
export function withOptionsOf(args: readonly string[]): (command: string) => string {
  const given = NAMES.flatMap((name) => {
    const value = valueOf(name, args);
    return value === undefined ? [] : [`${name} ${quoted(value)}`];
  });
  return (command) => {
    const missing = given.filter((option) => !command.includes(option.slice(0, option.indexOf(' '))));
    return missing.length === 0 || !COMMAND.test(command) ? command : [command, ...missing].join(' ');
  };
}

/** The text with each command in backquotes made one of this pipeline. */
export function inText(text: string, complete: (command: string) => string): string {
  return text.replaceAll(/`(tailrace [^`]*)`/g, (_, command: string) => `\`${complete(command)}\``);
}

/** A text with each command in backquotes made one of the pipeline that this command was about. */
export function typedText(text: string): string {
  return inText(text, withOptionsOf(process.argv.slice(2)));
}

/** Lines with each command in backquotes made one of the pipeline that this command was about. */
export function typed(lines: readonly string[]): string[] {
  return lines.map(typedText);
}

function valueOf(name: string, args: readonly string[]): string | undefined {
  for (const [i, arg] of args.entries()) {
    if (arg === '--') return undefined;
    if (arg === name) return args[i + 1];
    if (arg.startsWith(`${name}=`)) return arg.slice(name.length + 1);
  }
  return undefined;
}

/** As a POSIX shell takes it for one word. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
