/** A tuple's columns as strings, for the few rows that are not data. */
import { ColumnKindByte, lengthAt, valueStart, type TupleLayout } from './tuple.ts';

export function textsOf(bytes: Buffer, start: number, end: number, layout: TupleLayout): (string | null)[] {
  layout.read(bytes, start, end);
  const texts: (string | null)[] = [];
  for (let i = 0; i < layout.count; i += 1) {
    const column = layout.columns[i] as number;
    const from = valueStart(column);
    texts.push(bytes[column] === ColumnKindByte.text ? bytes.toString('utf8', from, from + lengthAt(bytes, column)) : null);
  }
  return texts;
}
