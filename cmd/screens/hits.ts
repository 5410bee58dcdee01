/** Search results for people: a line or two for each hit, fields in their order, cut to the width of the terminal. */
import { printable } from '../terminal/printable.ts';
import type { Paint } from '../terminal/table.ts';
import { counted } from '../terminal/units.ts';

interface Hits {
  readonly index: string;
  readonly hits: readonly { readonly id: string; readonly score: number; readonly document: Readonly<Record<string, unknown>> }[];
}

const WIDTH_MIN = 40;

/** `report` is the JSON text of a search report. */
export function hitLines(text: string, report: string, { paint, columns }: { readonly paint: Paint; readonly columns: number }): string[] {
  const { index, hits } = JSON.parse(report, keepDigits) as Hits;
  if (hits.length === 0) return [`Nothing in ${index} matches "${text}".`];
  const shown = hits.map(({ id, ...hit }) => ({ ...hit, id: printable(id) }));
  const idWidth = Math.max(...shown.map(({ id }) => id.length));
  const lines = shown.map(({ id, score, document }) => {
    const start = `${id.padEnd(idWidth)}  ${score.toFixed(2).padStart(6)}  `;
    return `${paint('cyan', id.padEnd(idWidth))}  ${paint('dim', score.toFixed(2).padStart(6))}  ${documentText(document, Math.max(WIDTH_MIN, columns - start.length))}`;
  });
  return [...lines, paint('dim', counted(hits.length, 'hit'))];
}

/** Numbers that a double would round are shown as they were written. `score` is one of ours and always a plain number. */
function keepDigits(name: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || name === 'score' || context?.source === undefined) return value;
  return String(value) === context.source ? value : new WrittenNumber(context.source);
}

class WrittenNumber {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  toString(): string {
    return this.#text;
  }
}

/** A document's fields, its numbers as they were written. */
export function parseDocument(text: string): Readonly<Record<string, unknown>> {
  return JSON.parse(text, keepDigits) as Record<string, unknown>;
}

/** `name: Desk lamp  price: 12.50`, cut to `width`. */
export function documentText(document: Readonly<Record<string, unknown>>, width: number): string {
  const text = Object.entries(document)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${printable(name)}: ${valueText(value)}`)
    .join('  ');
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}

/** JSON with its numbers as they were written, which `JSON.stringify` cannot do. */
function jsonText(value: unknown): string {
  if (value instanceof WrittenNumber) return value.toString();
  if (Array.isArray(value)) return `[${value.map(jsonText).join(',')}]`;
  if (typeof value === 'object' && value !== null) return `{${Object.entries(value).map(([name, inner]) => `${JSON.stringify(name)}:${jsonText(inner)}`).join(',')}}`;
  return JSON.stringify(value);
}

function valueText(value: unknown): string {
  if (typeof value === 'string') return printable(value);
  if (value instanceof WrittenNumber) return value.toString();
  return printable(jsonText(value));
}
