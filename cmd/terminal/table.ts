/** Aligned columns, and colours that are there on a terminal only. */
import { stripVTControlCharacters, styleText } from 'node:util';

export type Colour = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

/** Marks a text for a terminal, or returns it as it is. */
export type Paint = (colour: Colour, text: string) => string;

export const plainPaint: Paint = (_, text) => text;

/** Follows NO_COLOR and FORCE_COLOR as well as whether the stream is a terminal. */
export function paintFor(stream: NodeJS.WriteStream): Paint {
  return (colour, text) => styleText(colour, text, { stream });
}

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

const gap = '  ';

/** Lines of a table; cells may hold colours. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[], paint: Paint): string[] {
  const titles = columns.map(({ title }) => title.toUpperCase());
  const widths = columns.map((_, i) => Math.max(...[titles, ...rows].map((row) => widthOf(row[i] ?? ''))));
  const line = (cells: readonly string[]): string => columns.map(({ align = 'left' }, i) => pad(cells[i] ?? '', widths[i] ?? 0, align)).join(gap).trimEnd();
  return [paint('dim', line(titles)), ...rows.map(line)];
}

function pad(text: string, width: number, align: 'left' | 'right'): string {
  const space = ' '.repeat(Math.max(0, width - widthOf(text)));
  return align === 'left' ? text + space : space + text;
}

function widthOf(text: string): number {
  return stripVTControlCharacters(text).length;
}
