/**
 * What happened to a row. The numbers are part of the log's file format: never renumber, never reuse.
 *
 * `read` is a row seen by a snapshot; like `insert` and `update` it carries the whole row.
 * `truncate` carries no row and an empty key: everything the table had before it is gone.
 */
export const Op = { insert: 1, update: 2, delete: 3, truncate: 4, read: 5 } as const;

export type Op = (typeof Op)[keyof typeof Op];

const names = new Map<number, keyof typeof Op>(Object.entries(Op).map(([name, code]) => [code, name as keyof typeof Op]));

/** The name of an operation code, or undefined for a number that is no operation. */
export function opName(code: number): keyof typeof Op | undefined {
  return names.get(code);
}
