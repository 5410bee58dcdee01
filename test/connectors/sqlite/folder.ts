/** A folder of a test's own, and a target in it with limits of the test's choice. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SqliteTarget, type SqliteTargetOptions } from '../../../connectors/targets/sqlite/target.ts';
import { planText } from '../../../connectors/targets/sqlite/text.ts';
import type { FieldPlan, GenerationPlan } from '../../../src/connector/target.ts';

export const defaultText = { tokenizer: 'unicode61', removeDiacritics: true } as const;
export const noFieldsText = planText([], defaultText);

export interface Folder extends Disposable {
  readonly path: string;
  readonly file: string;
  target(options?: Partial<SqliteTargetOptions>): SqliteTarget;
}

export function temporaryFolder(): Folder {
  const path = mkdtempSync(join(tmpdir(), 'tailrace-sqlite-'));
  const file = join(path, 'search.db');
  return {
    path,
    file,
    target: (options = {}) => new SqliteTarget({ name: 'search', path: file, text: defaultText, ...options }),
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}

export function plan(index: string, fields: readonly FieldPlan[] = [], generation = 1): GenerationPlan {
  return { index, generation, binding: { logId: 'log-1', epoch: 1, fingerprint: 'f-1' }, fields, isBuilding: false, options: {} };
}
