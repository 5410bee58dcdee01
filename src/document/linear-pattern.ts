/**
 * Matches regular expressions in time proportional to text times pattern, whatever the pattern (Thompson's simulation, as in RE2): a
 * row must not be able to stop the index, and JavaScript's own engine takes exponential time for some patterns.
 */
import { parsePattern, PatternError, word, type Assertion, type CharacterTest, type PatternNode } from './pattern-syntax.ts';

export { PatternError } from './pattern-syntax.ts';

/** Most instructions that a pattern may compile to. */
const PROGRAM_LENGTH_MAX = 10_000;

type Instruction =
  | { readonly kind: 'character'; readonly test: CharacterTest }
  | { readonly kind: 'assert'; readonly assertion: Assertion }
  /** Goes on at both places. */
  | { readonly kind: 'split'; first: number; second: number }
  | { readonly kind: 'jump'; to: number }
  | { readonly kind: 'match' };

export interface LinearPattern {
  /** True when the pattern is found anywhere in the text. */
  matches(text: string): boolean;
}

/** Throws PatternError for a pattern that is not RE2's, or too large. */
export function compilePattern(source: string): LinearPattern {
  const program: Instruction[] = [];
  emit(program, parsePattern(source));
  program.push({ kind: 'match' });
  return { matches: (text) => new Simulation(program, text).found() };
}

function push(program: Instruction[], instruction: Instruction): number {
  if (program.length >= PROGRAM_LENGTH_MAX) throw new PatternError('the pattern is too large');
  return program.push(instruction) - 1;
}

function emit(program: Instruction[], node: PatternNode): void {
  switch (node.kind) {
    case 'character':
    case 'assert':
      push(program, node);
      return;
    case 'sequence':
      for (const item of node.items) emit(program, item);
      return;
    case 'choice':
      emitChoice(program, node.items);
      return;
    case 'repeat':
      emitRepeat(program, node.item, node.least, node.most);
      return;
  }
}

function emitChoice(program: Instruction[], items: readonly PatternNode[]): void {
  const exits: { to: number }[] = [];
  for (const [index, item] of items.entries()) {
    if (index === items.length - 1) {
      emit(program, item);
      break;
    }
    const split = { kind: 'split' as const, first: 0, second: 0 };
    split.first = push(program, split) + 1;
    emit(program, item);
    const exit = { kind: 'jump' as const, to: 0 };
    split.second = push(program, exit) + 1;
    exits.push(exit);
  }
  for (const exit of exits) exit.to = program.length;
}

function emitRepeat(program: Instruction[], item: PatternNode, least: number, most: number | undefined): void {
  for (let i = 0; i < least; i += 1) {
    const before = program.length;
    emit(program, item);
    // What matches nothing but the empty text does so any number of times: repeats of it would never meet the limit of the program's length.
    if (program.length === before) break;
  }
  if (most === undefined) {
    const loop = { kind: 'split' as const, first: 0, second: 0 };
    const at = push(program, loop);
    loop.first = at + 1;
    emit(program, item);
    loop.second = push(program, { kind: 'jump', to: at }) + 1;
    return;
  }
  const splits: { second: number }[] = [];
  for (let i = least; i < most; i += 1) {
    const split = { kind: 'split' as const, first: 0, second: 0 };
    split.first = push(program, split) + 1;
    splits.push(split);
    emit(program, item);
  }
  for (const split of splits) split.second = program.length;
}

/** All places of the program where a match may stand, moved over the text character by character. */
class Simulation {
  readonly #program: readonly Instruction[];
  readonly #text: string;
  /** Place of the text at which an instruction was last added, so that each is added once for each character. */
  readonly #addedAt: Int32Array;
  #standing: number[] = [];
  /** Places that `#add` has yet to look at; empty between its calls. */
  readonly #pending: number[] = [];
  #matched = false;

  constructor(program: readonly Instruction[], text: string) {
    this.#program = program;
    this.#text = text;
    this.#addedAt = new Int32Array(program.length).fill(-1);
  }

  found(): boolean {
    let before = -1;
    let at = 0;
    for (;;) {
      const here = this.#text.codePointAt(at) ?? -1;
      this.#add(0, at, before, here);
      if (this.#matched) return true;
      if (here === -1) return false;
      const standing = this.#standing;
      this.#standing = [];
      const next = at + (here > 0xffff ? 2 : 1);
      const behind = this.#text.codePointAt(next) ?? -1;
      for (const place of standing) {
        const instruction = this.#program[place];
        if (instruction?.kind === 'character' && instruction.test(here)) this.#add(place + 1, next, here, behind);
      }
      before = here;
      at = next;
    }
  }

  /** Adds a place and all that it leads to without a character. Code points `before` and `here` are -1 at the text's ends. */
  #add(start: number, at: number, before: number, here: number): void {
    const pending = this.#pending;
    pending.push(start);
    for (let place = pending.pop(); place !== undefined; place = pending.pop()) {
      if (this.#addedAt[place] === at) continue;
      this.#addedAt[place] = at;
      const instruction = this.#program[place] as Instruction;
      switch (instruction.kind) {
        case 'match':
          this.#matched = true;
          return;
        case 'jump':
          pending.push(instruction.to);
          break;
        case 'split':
          pending.push(instruction.second, instruction.first);
          break;
        case 'assert':
          if (holds(instruction.assertion, before, here)) pending.push(place + 1);
          break;
        case 'character':
          this.#standing.push(place);
          break;
      }
    }
  }
}

function holds(assertion: Assertion, before: number, here: number): boolean {
  switch (assertion) {
    case 'textStart':
      return before === -1;
    case 'textEnd':
      return here === -1;
    case 'lineStart':
      return before === -1 || before === 10;
    case 'lineEnd':
      return here === -1 || here === 10;
    case 'wordBoundary':
      return isWord(before) !== isWord(here);
    case 'notWordBoundary':
      return isWord(before) === isWord(here);
  }
}

function isWord(codePoint: number): boolean {
  return codePoint !== -1 && word(codePoint);
}
