/** JSON compared by what it says: numbers by their digits, moments as moments, objects whatever the order of their names. */

const moment = /^\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;

/** Parsed, with `#` and its digits as they were written in the place of every number. */
export function withDigits(json: string): unknown {
  return JSON.parse(json, (_, value: unknown, context?: { source?: string }) => (typeof value === 'number' && context?.source !== undefined ? `#${context.source}` : value));
}

/** The same text for values that say the same; of values that `withDigits` parsed. */
export function canonical(value: unknown): string {
  return JSON.stringify(ordered(value));
}

function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered);
  if (typeof value === 'string' && moment.test(value)) return `@${new Date(value).toISOString()}`;
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([name, item]) => [name, ordered(item)] as const);
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
