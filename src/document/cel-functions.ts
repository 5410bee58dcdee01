/**
 * What expressions can do beyond the library's CEL: exact decimals, whole numbers mixed with doubles, comparisons with null; and the
 * functions that replace those of the library whose result depends on the machine or whose running time has no bound.
 */
import { Environment, EvaluationError } from '@marcbachmann/cel-js';
import { Decimal } from '../change/value.ts';
import { celOfJson } from './cel-value.ts';
import { add, compare, decimalFrom, DecimalError, multiply, negate, round, subtract, truncate } from './decimal-arithmetic.ts';
import { compilePattern, PatternError, type LinearPattern } from './linear-pattern.ts';

/** Most passes through loops (`map`, `filter`, `all`, ...) that one evaluation may make. */
export const LOOP_PASSES_MAX = 1_000_000;

/** Most patterns that are kept compiled: a pattern may come from the row. */
const PATTERNS_MAX = 64;

/** Names of the replacements. The library cannot redefine a function, so `expression-source.ts` gives calls another name. */
export const replacement = { matches: 'tailrace_matches', json: 'tailrace_json', timestamp: 'tailrace_timestamp', pass: 'tailrace_pass' } as const;

/** Counts the passes through loops of the evaluation that is under way. Evaluation is synchronous, so one counter serves all. */
export class PassCounter {
  #left = LOOP_PASSES_MAX;

  reset(): void {
    this.#left = LOOP_PASSES_MAX;
  }

  count(): void {
    this.#left -= 1;
    if (this.#left < 0) throw failure('too_many_passes', `loops over one row make more than ${LOOP_PASSES_MAX} passes`);
  }
}

/** A failure whose sentence holds no values of the row. */
function failure(code: string, message: string): EvaluationError {
  return new EvaluationError({ code, message });
}

/** Codes of the failures made here: their sentences may be shown. */
export const ownFailureCodes: ReadonlySet<string> = new Set(['decimal', 'too_many_passes', 'inexact', 'timestamp_text', 'pattern', 'json']);

export function addFunctions(environment: Environment, passes: PassCounter): void {
  environment.registerType('decimal', { ctor: Decimal, fields: {} });
  addDecimalOperators(environment);
  addDecimalFunctions(environment);
  addMixedNumbers(environment);
  for (const type of ['int', 'double', 'string', 'bool', 'bytes', 'decimal']) environment.registerOperator(`null == ${type}`, () => false);
  addReplacements(environment, passes);
}

/** Registered as synchronous, which spares the library its checks for promises. */
function define(environment: Environment, signature: string, handler: (...values: never[]) => unknown): void {
  environment.registerFunction(signature, handler as (...values: unknown[]) => unknown, { async: false });
}

type Exact = Decimal | bigint | number;

/** A double counts as the number that it prints: 0.1 is one tenth. */
function decimalOf(value: Exact): Decimal {
  return value instanceof Decimal ? value : new Decimal(String(value));
}

/** Runs exact arithmetic; its own refusals become failures of the expression. */
function exactly<Result>(work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (error instanceof DecimalError) throw failure('decimal', error.message);
    throw error;
  }
}

const decimalPairs = [
  ['decimal', 'decimal'],
  ['decimal', 'int'],
  ['int', 'decimal'],
  ['decimal', 'double'],
  ['double', 'decimal'],
] as const;

function addDecimalOperators(environment: Environment): void {
  const arithmetic = { '+': add, '-': subtract, '*': multiply };
  const relations: Record<string, (order: number) => boolean> = { '<': (order) => order < 0, '<=': (order) => order <= 0, '>': (order) => order > 0, '>=': (order) => order >= 0 };
  for (const [left, right] of decimalPairs) {
    for (const [operator, work] of Object.entries(arithmetic)) {
      environment.registerOperator(`${left} ${operator} ${right}: decimal`, (a: Exact, b: Exact) => exactly(() => work(decimalOf(a), decimalOf(b))));
    }
    for (const [operator, holds] of Object.entries(relations)) {
      environment.registerOperator(`${left} ${operator} ${right}`, (a: Exact, b: Exact) => exactly(() => holds(compare(decimalOf(a), decimalOf(b)))));
    }
    // The library adds `!=` and the swapped pair by itself.
    if (left === 'decimal') environment.registerOperator(`${left} == ${right}`, (a: Exact, b: Exact) => exactly(() => compare(decimalOf(a), decimalOf(b)) === 0));
  }
  addDecimalMembership(environment);
  environment.registerOperator('-decimal', (a: Decimal) => exactly(() => negate(a)));
}

/** `in` between numbers of different types. The library asks for types wrapped in `dyn` where a column may be null. */
function addDecimalMembership(environment: Environment): void {
  const isMember = (value: Exact, list: Iterable<unknown>): boolean => {
    const wanted = decimalOf(value);
    for (const item of list) {
      if ((item instanceof Decimal || typeof item === 'bigint' || typeof item === 'number') && exactly(() => compare(wanted, decimalOf(item)) === 0)) return true;
    }
    return false;
  };
  for (const pair of ['decimal in list<int>', 'decimal in list<double>', 'int in list<decimal>', 'double in list<decimal>']) {
    environment.registerOperator(pair, isMember);
    environment.registerOperator(pair.replace(/^\w+/, 'dyn<$&>'), isMember);
  }
}

function addDecimalFunctions(environment: Environment): void {
  define(environment, 'decimal(decimal): decimal', (value: Decimal) => value);
  define(environment, 'decimal(int): decimal', decimalOf);
  define(environment, 'decimal(double): decimal', decimalOf);
  define(environment, 'decimal(string): decimal', (text: string) => exactly(() => decimalFrom(text)));
  define(environment, 'string(decimal): string', (value: Decimal) => value.digits);
  define(environment, 'double(decimal): double', (value: Decimal) => Number(value.digits));
  define(environment, 'int(decimal): int', (value: Decimal) => exactly(() => truncate(value)));
  define(environment, 'round(decimal, int): decimal', (value: Decimal, places: bigint) => exactly(() => round(value, Number(places))));
}

/** `int * 1.5`: CEL proper refuses it. A whole number that a double would round is refused here too. */
function addMixedNumbers(environment: Environment): void {
  const double = (value: bigint | number): number => {
    const result = Number(value);
    if (typeof value === 'bigint' && !Number.isSafeInteger(result)) throw failure('inexact', 'a whole number beyond 2^53 meets a double; use decimal()');
    return result;
  };
  const arithmetic: Record<string, (a: number, b: number) => number> = { '+': (a, b) => a + b, '-': (a, b) => a - b, '*': (a, b) => a * b, '/': (a, b) => a / b };
  for (const [operator, work] of Object.entries(arithmetic)) {
    for (const pair of [`int ${operator} double`, `double ${operator} int`]) {
      environment.registerOperator(`${pair}: double`, (a: bigint | number, b: bigint | number) => work(double(a), double(b)));
    }
  }
}

function addReplacements(environment: Environment, passes: PassCounter): void {
  const patterns = new Map<string, LinearPattern>();
  define(environment, `string.${replacement.matches}(string): bool`, (text: string, source: string) => patternOf(patterns, source).matches(text));
  define(environment, `bytes.${replacement.json}(): dyn`, jsonOfBytes);
  define(environment, `${replacement.timestamp}(string): google.protobuf.Timestamp`, (text: string) => timestampOfText({ value: timestampText(text) }));
  define(environment, `${replacement.timestamp}(int): google.protobuf.Timestamp`, (value: bigint) => timestampOfSeconds({ value }));
  define(environment, `${replacement.pass}(A): A`, (value: unknown) => {
    passes.count();
    return value;
  });
}

function patternOf(patterns: Map<string, LinearPattern>, source: string): LinearPattern {
  const known = patterns.get(source);
  if (known !== undefined) return known;
  try {
    const pattern = compilePattern(source);
    if (patterns.size >= PATTERNS_MAX) patterns.clear();
    patterns.set(source, pattern);
    return pattern;
  } catch (error) {
    if (error instanceof PatternError) throw failure('pattern', error.message);
    throw error;
  }
}

/** The library's own would round numbers. */
function jsonOfBytes(bytes: Uint8Array): unknown {
  try {
    return celOfJson(Buffer.from(bytes).toString('utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) throw failure('json', 'the bytes are no JSON');
    throw error;
  }
}

/** The library's own conversions, given nothing that they would read by the machine's zone. */
const timestampOfText = new Environment().registerVariable('value', 'string').parse('timestamp(value)');
const timestampOfSeconds = new Environment().registerVariable('value', 'int').parse('timestamp(value)');

const timestampShape = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?:(:\d{2})(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})?)?$/;

/**
 * Text of a time with its zone, UTC where it names none: the library would read that as local time of the machine. Cut to milliseconds,
 * which is all that a timestamp of the library holds.
 */
function timestampText(text: string): string {
  const match = timestampShape.exec(text);
  if (match === null) throw failure('timestamp_text', 'timestamp() expects a date, or a date and time, as ISO 8601 writes them');
  const [, date, minutes = '00:00', seconds = ':00', fraction = '', zone = 'Z'] = match;
  return `${date}T${minutes}${seconds}${fraction.slice(0, 4).padEnd(4, fraction === '' ? '.000' : '0')}${zone}`;
}
