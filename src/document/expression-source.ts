/**
 * An expression's text, checked as far as it can be without a table: its syntax, its size, the functions it calls. The library cannot
 * redefine functions, so calls of those that are replaced get another name here, and loops get a counter.
 */
import { type ASTNode, type Environment, ParseError, type ParseResult, TypeError as CelTypeError } from '@marcbachmann/cel-js';
import { TailraceError } from '../errors/tailrace-error.ts';
import { isBareName, untypedEnvironment } from './cel-environment.ts';
import { PassCounter, replacement } from './cel-functions.ts';
import { ROW_NAME } from './cel-row.ts';
import { compilePattern, PatternError } from './linear-pattern.ts';

export interface ExpressionSource {
  readonly text: string;
  /** Where it stands in the config: `indices.products.where`. */
  readonly setting: string;
}

/** Reads an expression that yields a value of one of `types`, or of any type. Throws CFG_TRANSFORM with the place of the error. */
export function checkExpression(source: ExpressionSource, types?: readonly string[]): void {
  const parsed = parse(untypedEnvironment(new PassCounter()), source);
  for (const node of nodesOf(parsed.ast)) refuse(node, source);
  const checked = parsed.check();
  if (!checked.valid || checked.type === undefined) throw configError(source, checked.error, hiddenName(parsed.ast));
  if (types !== undefined && !types.includes(checked.type)) throw placedError(source, undefined, `the expression yields ${checked.type}; expected ${types[0]}`);
}

/** A word of CEL that stands where a variable may have been meant. */
function hiddenName(ast: ASTNode): string | undefined {
  for (const node of nodesOf(ast)) {
    if (node.op === 'id' && node.args !== ROW_NAME && !isBareName(node.args)) return node.args;
  }
  return undefined;
}

function parse(environment: Environment, source: ExpressionSource): ParseResult {
  try {
    return environment.parse(source.text);
  } catch (error) {
    if (error instanceof ParseError) throw configError(source, error);
    throw error;
  }
}

/** Names that an expression mentions, to know which columns it needs. Variables of its own loops are among them. */
export interface Mentions {
  readonly bare: ReadonlySet<string>;
  /** Names behind `row.`. */
  readonly ofRow: ReadonlySet<string>;
  /** True when `row` is used as a whole, or with a computed name. */
  readonly wholeRow: boolean;
}

export function mentionsOf(ast: ASTNode): Mentions {
  const bare = new Set<string>();
  const ofRow = new Set<string>();
  let rows = 0;
  for (const node of nodesOf(ast)) {
    if (node.op === 'id') {
      if (node.args === ROW_NAME) rows += 1;
      else bare.add(node.args);
      continue;
    }
    const named = fieldOf(node);
    if (named === undefined) continue;
    ofRow.add(named);
    rows -= 1;
  }
  return { bare, ofRow, wholeRow: rows > 0 };
}

/** The name in `row.name` or `row["name"]`. */
function fieldOf(node: ASTNode): string | undefined {
  if (node.op !== '.' && node.op !== '[]') return undefined;
  const [object, name] = node.args;
  if (object.op !== 'id' || object.args !== ROW_NAME) return undefined;
  if (typeof name === 'string') return name;
  return name.op === 'value' && typeof name.args === 'string' ? name.args : undefined;
}

/** Parses the expression with its loops counted and its replaced functions in place. Its text has passed `checkExpression`. */
export function parseInstrumented(environment: Environment, source: ExpressionSource): ParseResult {
  const parsed = environment.parse(withCountedLoops(environment.parse(source.text).ast, source.text));
  for (const node of nodesOf(parsed.ast)) {
    if (node.op === 'call' && node.args[0] === 'timestamp') node.args[0] = replacement.timestamp;
    if (node.op !== 'rcall') continue;
    if (node.args[0] === 'matches') node.args[0] = replacement.matches;
    if (node.args[0] === 'json') node.args[0] = replacement.json;
  }
  return parsed;
}

const loops: ReadonlySet<string> = new Set(['all', 'exists', 'exists_one', 'map', 'filter']);

/**
 * Puts a call that counts and returns its argument around what a loop evaluates first in each pass. A node's place leaves out
 * parentheses at its ends, so that the call may close around the leftmost operand only: it is evaluated as often.
 */
function withCountedLoops(ast: ASTNode, text: string): string {
  const inserts: { at: number; text: string }[] = [];
  for (const node of nodesOf(ast)) {
    if (node.op !== 'rcall' || !loops.has(node.args[0])) continue;
    const pass = node.args[2][1];
    if (pass !== undefined) inserts.push({ at: pass.start, text: `${replacement.pass}(` }, { at: pass.end, text: ')' });
  }
  inserts.sort((a, b) => a.at - b.at);
  let result = '';
  let from = 0;
  for (const insert of inserts) {
    result += text.slice(from, insert.at) + insert.text;
    from = insert.at;
  }
  return result + text.slice(from);
}

const zoned = /^get(?:FullYear|Month|Date|DayOfMonth|DayOfWeek|DayOfYear|Hours|Minutes|Seconds|Milliseconds)$/;

/** Refuses what would not be the same on every machine, or would lose data silently. */
function refuse(node: ASTNode, source: ExpressionSource): void {
  if (node.op === 'rcall') {
    const [name, , args] = node.args;
    if (name === 'getDayOfYear' || (zoned.test(name) && args.length === 1)) throw placedError(source, node.start, `\`${name}\` ${args.length === 1 ? 'with a time zone' : ''} is not offered: its result depends on the machine`);
    if (name === 'matches') refusePattern(args[0], source);
  }
  if (node.op === 'map') {
    for (const [name] of node.args) {
      if (name.op !== 'value' || typeof name.args !== 'string') throw placedError(source, name.start, 'the names in an object are written as texts: `{"name": value}`');
      if (['__proto__', 'constructor', 'prototype'].includes(name.args)) throw placedError(source, name.start, `an object in an expression cannot have the name \`${name.args}\``);
    }
  }
}

function refusePattern(node: ASTNode | undefined, source: ExpressionSource): void {
  if (node?.op !== 'value' || typeof node.args !== 'string') return;
  try {
    compilePattern(node.args);
  } catch (error) {
    if (error instanceof PatternError) throw placedError(source, node.start, error.message);
    throw error;
  }
}

/** The node and all below it. */
function* nodesOf(node: ASTNode): Generator<ASTNode> {
  yield node;
  for (const child of childrenOf(node)) yield* nodesOf(child);
}

function childrenOf(node: ASTNode): readonly ASTNode[] {
  switch (node.op) {
    case 'value':
    case 'id':
      return [];
    case '.':
    case '.?':
      return [node.args[0]];
    case 'call':
      return node.args[1];
    case 'rcall':
      return [node.args[1], ...node.args[2]];
    case 'map':
      return node.args.flat();
    case '!_':
    case '-_':
      return [node.args];
    default:
      return node.args;
  }
}

function configError(source: ExpressionSource, error: ParseError | CelTypeError | undefined, hidden?: string): TailraceError {
  const advice = hidden === undefined ? '' : ` (\`${hidden}\` is a word of CEL: a column of that name is \`${ROW_NAME}.${hidden}\`)`;
  return placedError(source, error?.range?.start, `${error?.summary ?? 'the expression is not valid'}${advice}`);
}

function placedError(source: ExpressionSource, offset: number | undefined, sentence: string): TailraceError {
  return new TailraceError('CFG_TRANSFORM', { message: `${source.setting}${placeOf(source.text, offset)}: ${sentence}.`, entity: source.setting });
}

/** `, line 2, column 7`, within the expression. */
export function placeOf(text: string, offset: number | undefined): string {
  if (offset === undefined) return '';
  const before = text.slice(0, offset).split('\n');
  const column = (before.at(-1) ?? '').length + 1;
  return before.length === 1 ? `, column ${column}` : `, line ${before.length}, column ${column}`;
}
