/**
 * Whether a text can only be one condition. It is put between parentheses into a statement that reads; what it says there the server decides, but it
 * must not end the parentheses, nor the statement. Of SQL's lexical structure only that is taken which means the same in every version and
 * setting: no escape strings, no dollar quotes, no comments, no parameters.
 */
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import { lengthInCharacters, selectionRefused } from './selection-error.ts';

const PREDICATE_CHARACTERS_MAX = 16 * 1024;

/** Throws SRC_SELECTION, with the place of what is refused. */
export function checkPredicateText(table: string, text: string): void {
  const refused = (why: string, at: number): TailraceError => selectionRefused(table, why, lengthInCharacters(text.slice(0, at)) + 1);
  if (text.trim() === '') throw refused('it is empty', 0);
  if (text.length > PREDICATE_CHARACTERS_MAX) throw refused(`it has ${text.length} characters; it may have ${PREDICATE_CHARACTERS_MAX}`, PREDICATE_CHARACTERS_MAX);
  const open: number[] = [];
  for (let at = 0; at < text.length; at += 1) {
    const pair = text.slice(at, at + 2);
    switch (text[at]) {
      case "'":
      case '"': {
        // What is before the letter does not matter: versions differ in where a number that is followed by it ends.
        if (text[at] === "'" && /[eE]/.test(text[at - 1] ?? '')) throw refused("escape strings (E'...') are not taken; write the characters themselves, and a space before the quote of another string", at - 1);
        const end = text.indexOf(text[at] as string, at + 1);
        if (end === -1) throw refused('a quote is not closed', at);
        at = end;
        break;
      }
      case '(':
        open.push(at);
        break;
      case ')':
        if (open.pop() === undefined) throw refused('a parenthesis is closed that was not opened', at);
        break;
      case ';':
        throw refused('it is more than one statement', at);
      case '$':
        throw refused('parameters and dollar quotes are not taken', at);
      case '\0':
        throw refused('it has a zero character', at);
      default:
        if (pair === '--' || pair === '/*') throw refused('comments are not taken', at);
    }
  }
  const unclosed = open.pop();
  if (unclosed !== undefined) throw refused('a parenthesis is not closed', unclosed);
}
