/** What the file has under the names that readers use: views of a generation, nothing any more, or something that somebody else has put there. */
import type { DatabaseSync } from 'node:sqlite';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import { tableNames, viewNames } from './layout.ts';

/** Something of the user's own. */
export interface Taken {
  /** `table`, `view`, `index`, ... */
  readonly type: string;
  readonly name: string;
}

/** Both views of this generation; at least one of them is not there; those of another generation of the index; or what is in the way of them. */
export type ViewsFound = 'this' | 'nothing' | 'another' | Taken;

export function viewsFound(db: DatabaseSync, index: string, number: number): ViewsFound {
  const names = Object.values(viewNames(index));
  const found = db.prepare('SELECT type, name, sql FROM sqlite_schema WHERE lower(name) IN (lower(?), lower(?))').all(...names) as unknown as (Taken & { readonly sql: string | null })[];
  const taken = found.find(({ type, sql }) => type !== 'view' || !/\bFROM tailrace_\d+_(?:documents|text) [df]\b/.test(sql ?? ''));
  if (taken !== undefined) return { type: taken.type, name: taken.name };
  if (found.length < names.length) return 'nothing';
  const { documents, text } = tableNames(number);
  return found.every(({ sql }) => sql?.includes(`FROM ${documents} d`) === true || sql?.includes(`FROM ${text} f`) === true) ? 'this' : 'another';
}

export function takenError({ type, name }: Taken, index: string, path: string): TailraceError {
  return new TailraceError('TGT_SCHEMA', { message: `${path} has a ${type} called "${name}" that tailrace did not make.`, hint: 'Drop or rename it, or give the index another name.', entity: index });
}
