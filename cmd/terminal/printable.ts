/** Text from elsewhere as a terminal may get it: names, ids and messages can hold line breaks, and sequences that would command the terminal. */

const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu;

/** The text on one line, with a space for every run of what cannot be printed. */
export function printable(text: string): string {
  return text.replaceAll(unprintable, ' ');
}

/** The same for each line of a text that may have several. */
export function printableLines(text: string): string[] {
  return text.split('\n').map(printable);
}
